"""Writes dlib.json for tests/all/dlib.rs: what dlib's face recognition network makes of two images with weights that follow from a
formula, so that no weights of anybody's are needed to compare.

    pip install dlib-bin numpy
    pip download --no-deps face-recognition-models==0.3.0     # for dlib_face_recognition_resnet_model_v1.dat, CC0
    python tests/golden/make_dlib.py dlib_face_recognition_resnet_model_v1.dat

The file serves as a form: the floats of its tensors are replaced, all else stays. With --chips FOLDER it writes instead the
embeddings of the images in a folder (150x150) by the weights as they are, one JSON object a line, for comparison with
`facenet-gpu embed`. The golden was written by dlib-bin 20.0.1.
"""

import argparse
import json
import pathlib
import re
import tempfile

import dlib
import numpy

HERE = pathlib.Path(__file__).parent


def uniform(tensor, count):
    """Numbers in -0.5..0.5 by a hash of their place."""
    h = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + tensor * 40503 + 12345) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h ^= h >> 13
    return h.astype(numpy.float64) / 2**32 - 0.5


def integers(data, at, count):
    found = []
    for _ in range(count):
        size = data[at] & 15
        found.append(int.from_bytes(data[at + 1 : at + 1 + size], "little"))
        at += 1 + size
    return found, at


def filled(data):
    """The file with the floats of tensor k replaced by the formula."""
    data, tensor = bytearray(data), 0
    for name in re.finditer(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2", bytes(data)):
        at = name.end()
        if b"fc" in name.group():
            _, at = integers(data, at, 2)
        (_, *sizes), at = integers(data, at, 5)
        count = int(numpy.prod(sizes))
        values = uniform(tensor, count)
        if b"con" in name.group():
            filters = integers(data, at + 4 * count, 1)[0][0]
            weights = count - filters
            values[:weights] *= (12 * filters / weights) ** 0.5
            values[weights:] *= 0.1
        elif b"affine" in name.group():
            values[: count // 2] = 1 + 0.2 * values[: count // 2]
            values[count // 2 :] *= 0.1
        else:
            values *= (12 / sizes[0]) ** 0.5
        data[at : at + 4 * count] = values.astype("<f4").tobytes()
        tensor += 1
    return bytes(data)


def image(number):
    y, x, c = numpy.mgrid[:150, :150, :3]
    return ((x * x * (number + 1) + 3 * y * y + x * y + 50 * c) % 251).astype(numpy.uint8)


arguments = argparse.ArgumentParser()
arguments.add_argument("model", type=pathlib.Path)
arguments.add_argument("--chips", type=pathlib.Path)
arguments = arguments.parse_args()
if arguments.chips:
    network = dlib.face_recognition_model_v1(str(arguments.model))
    for path in sorted(arguments.chips.iterdir()):
        embedding = network.compute_face_descriptor(dlib.load_rgb_image(str(path)))
        print(json.dumps({"path": str(path), "embedding": list(embedding)}))
else:
    with tempfile.NamedTemporaryFile(suffix=".dat") as file:
        file.write(filled(arguments.model.read_bytes()))
        file.flush()
        network = dlib.face_recognition_model_v1(file.name)
    embeddings = [list(network.compute_face_descriptor(image(number))) for number in range(2)]
    (HERE / "dlib.json").write_text(json.dumps({"embeddings": embeddings}) + "\n")
