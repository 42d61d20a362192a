// Rows of sums, SLOTS floats for each anchor: over its pairs and over its triplets. `PairSum` and `TripletSum` in Rust say
// what each slot is.

const SLOTS = 8u;

const PAIR_COUNT = 0u;
const PAIR_DISTANCE = 1u;
const PAIR_SQUARES = 2u;
const PAIR_HARD = 3u;
const PAIR_SEMI_HARD = 4u;
const PAIR_OTHERS = 5u;
const PAIR_OTHER_DISTANCE = 6u;
const PAIR_ALL_DISTANCE = 7u;

const TRIPLET_LOSS = 0u;
const TRIPLET_COUNT = 1u;
const TRIPLET_CANDIDATES = 2u;
const TRIPLET_DISTANCE = 3u;
const TRIPLET_SQUARES = 4u;
const TRIPLET_PAIRS = 5u;
const TRIPLET_POSSIBLE = 6u;

// Farther than any image.
const HUGE: f32 = 0x1p127f;
