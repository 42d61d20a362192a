//! The names that pickles look up, and what becomes of them here. Nothing is ever looked up or called: the list is exact, and
//! whatever is not on it is reported.

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// A dict: empty, or of the pairs that it is called with.
    Dict,
    /// A tensor of a storage, an offset, sizes and strides.
    Tensor,
    /// Whatever it is called with first, such as a parameter of its tensor.
    First,
    /// A function, a type, and what the function is called with.
    FromType,
    /// The class of a storage with values of this type.
    Storage(&'static str),
    /// Part of how other things are written; not worth a word.
    Part,
    /// Data that no embedding needs: passed over, and named.
    Data,
}

/// What `module.name` stands for, if it is on the list.
pub(super) fn known(name: &str) -> Option<Known> {
    // As Python 2 has it, whose names the protocols up to 2 use.
    let renamed = name.strip_prefix("__builtin__.").map(|name| format!("builtins.{name}"));
    let renamed = renamed.or_else(|| name.strip_prefix("copy_reg.").map(|name| format!("copyreg.{name}")));
    let name = renamed.as_deref().unwrap_or(name);
    if let Some(class) = name.strip_prefix("torch.").and_then(|rest| rest.strip_suffix("Storage")) {
        return dtype(class.strip_prefix("cuda.").unwrap_or(class)).map(Known::Storage);
    }
    let on = |list: &[&str]| list.contains(&name);
    if on(&["collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"]) {
        return Some(Known::Dict);
    }
    if on(&["torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"]) {
        return Some(Known::Tensor);
    }
    if on(&["torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"]) {
        return Some(Known::First);
    }
    if name == "torch._tensor._rebuild_from_type_v2" {
        return Some(Known::FromType);
    }
    if on(PARTS) || DTYPES.iter().any(|dtype| name.strip_prefix("torch.") == Some(dtype)) {
        return Some(Known::Part);
    }
    on(DATA).then_some(Known::Data)
}

/// The type of the values of a storage, as safetensors calls it; the values of an untyped one are bytes.
fn dtype(class: &str) -> Option<&'static str> {
    Some(match class {
        "Float" => "F32",
        "Double" => "F64",
        "Half" => "F16",
        "BFloat16" => "BF16",
        "Long" => "I64",
        "Int" => "I32",
        "Short" => "I16",
        "Char" | "QInt8" => "I8",
        "Byte" | "QUInt8" | "storage.Untyped" | "Untyped" => "U8",
        "QInt32" => "I32",
        "Bool" => "BOOL",
        "ComplexFloat" => "C64",
        "ComplexDouble" => "C128",
        _ => return None,
    })
}

/// Types of values as PyTorch names them.
const DTYPES: &[&str] = &[
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
];

/// Written between other things.
const PARTS: &[&str] = &[
    "_codecs.encode",
    "builtins.bool",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.float",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.set",
    "builtins.str",
    "builtins.tuple",
    "copyreg.__newobj__",
    "copyreg._reconstructor",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.jit._pickle.build_boollist",
    "torch.jit._pickle.build_doublelist",
    "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.restore_type_tag",
    "torch.nn.parameter.Parameter",
    // Layers of networks that were saved whole.
    "torch.nn.modules.activation.PReLU",
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.batchnorm.BatchNorm1d",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.container.ModuleDict",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.dropout.Dropout",
    "torch.nn.modules.flatten.Flatten",
    "torch.nn.modules.linear.Identity",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.normalization.CrossMapLRN2d",
    "torch.nn.modules.normalization.LocalResponseNorm",
    "torch.nn.modules.pooling.AdaptiveAvgPool2d",
    "torch.nn.modules.pooling.AvgPool2d",
    "torch.nn.modules.pooling.LPPool2d",
    "torch.nn.modules.pooling.MaxPool2d",
];

/// Data beside the weights.
const DATA: &[&str] = &[
    "argparse.Namespace",
    "builtins.complex",
    "builtins.range",
    "builtins.slice",
    "builtins.xrange",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.PurePosixPath",
    "pathlib._local.PureWindowsPath",
    "pathlib._local.WindowsPath",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_csr_tensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_tensor_v3",
    "torch.per_channel_affine",
    "torch.per_tensor_affine",
    "torch.sparse_coo",
    "torch.sparse_csr",
    "types.SimpleNamespace",
    "uuid.UUID",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_exact() {
        for name in [
            "collections.OrderedDict",
            "torch.FloatStorage",
            "torch.cuda.HalfStorage",
            "torch.float32",
            "__builtin__.set",
        ] {
            assert!(known(name).is_some(), "{name}");
        }
        for name in [
            "posix.system",
            "builtins.eval",
            "__builtin__.eval",
            "copy_reg.add_extension",
            "builtins.getattr",
            "torch.hub.load",
            "torch.load",
            "torch.storage._load_from_bytes",
            "torch.StrangeStorage",
            "numpy.load",
            "collections.abc.Mapping",
            "argparse._sys.exit",
            "_codecs.lookup",
        ] {
            assert_eq!(known(name), None, "{name}");
        }
    }
}
