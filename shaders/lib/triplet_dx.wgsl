// A workgroup of a gradient of the embeddings takes one image: its lanes lie along the dimensions of an embedding.

const DX_LANES = 8u;
const DX_COLUMNS = 16u; // per invocation, DX_LANES apart
