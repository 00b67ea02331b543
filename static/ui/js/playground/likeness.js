// How alike texts are, by their embeddings (pure).

/** The cosine of the angle between two vectors: 1 alike, 0 unrelated, -1 opposite. */
export function cosine(one, other) {
  let product = 0;
  let first = 0;
  let second = 0;
  for (let at = 0; at < one.length; at++) {
    product += one[at] * other[at];
    first += one[at] ** 2;
    second += other[at] ** 2;
  }
  return first && second ? product / Math.sqrt(first * second) : 0;
}

/** The likeness of each vector to each. */
export const likeness = (vectors) => vectors.map((one) => vectors.map((other) => cosine(one, other)));
