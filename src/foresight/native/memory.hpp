// What an encoder is made of, and the memory that a call works in.

#pragma once

#include <algorithm>
#include <cstring>

#include "buffer.hpp"
#include "tiles.hpp"

namespace foresight {

constexpr int CHUNK = 8;  // row blocks at most that go through a layer together

// Sizes of an encoder; `foresight.perception.native_trunk.Sizes` has the same fields.
struct Sizes {
  std::int32_t dim, depth, heads, head, hidden, inner, height, width, patch, tubelet;
  float eps, sharpness;  // sharpness: log2(e) / sqrt(head)

  int wide() const { return heads * blocks_of(head) * SIDE; }  // heads filled up to blocks
  int patch_bytes() const { return 3 * tubelet * patch * patch; }
};

// A layer's weights; products' in the order of tiles.hpp, fc2 in parts of `inner` inputs.
struct Layer {
  const float *norm1, *shift1;
  const bf16* qkv;
  const float* qkv_bias;
  const bf16* proj;
  const float* proj_bias;
  const float *norm2, *shift2;
  const bf16* fc1;
  const float* fc1_bias;
  const bf16* fc2;
  const float* fc2_bias;
};

// All weights, as `foresight.perception.native_trunk` lines up their addresses.
struct Weights {
  const float *norm, *shift;  // of the last norm
  const bf16 *embed, *embed_rest;
  const float* embed_bias;
  Layer layers[];
};

struct Model {
  const Sizes& sizes;
  const Weights& weights;
  const float *cos, *sin;  // [tokens of a clip, filled up to blocks][head, the same]
};

// From one block of chances to the next, as `SPACED` for sums.
constexpr int CHANCES = BLOCK + SIDE;

// What a thread needs for itself.
struct Desk {
  Buffer<bf16> normed, hidden, chances, patches;
  Buffer<float> scores, sums;
  Buffer<std::uint8_t> bytes;

  void prepare(const Sizes& sizes, int tokens) {
    const std::size_t rows = CHUNK * SIDE, clip = blocks_of(tokens);
    const std::size_t patch = blocks_of(sizes.patch_bytes()) * SIDE;
    normed.grow(rows * std::max(sizes.dim, sizes.wide()));
    hidden.grow(rows * sizes.inner);
    patches.grow(rows * patch);
    bytes.grow(patch);
    std::memset(bytes.data(), 0, patch);
    scores.grow(clip * SPACED);
    chances.grow(clip * CHANCES);
    sums.grow(CHUNK * BLOCK);
  }
};

// What the threads of a group share.
struct Table {
  Buffer<float> stream;
  Buffer<bf16> query, key, value;

  void prepare(const Sizes& sizes, int clips, int tokens) {
    const std::size_t rows = static_cast<std::size_t>(clips) * blocks_of(tokens) * SIDE;
    stream.grow(rows / SIDE * (sizes.dim / SIDE) * SPACED);
    for (Buffer<bf16>* buffer : {&query, &key, &value}) buffer->grow(rows * sizes.wide());
  }
};

}  // namespace foresight
