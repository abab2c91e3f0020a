// Some clips of a call on their way through the encoder.

#pragma once

#include <algorithm>
#include <limits>

#include "memory.hpp"
#include "rows.hpp"
#include "tiles.hpp"
#include "vectors.hpp"

namespace foresight {

// Some clips of one call on their way through the blocks.
class Group {
  const Sizes& sizes_;
  const Weights& weights_;
  const float *cos_, *sin_;
  const int tokens_, clip_blocks_, row_blocks_, column_blocks_;
  const int parts_, head_blocks_;  // blocks of a head's channels, and of all heads'
  float* const stream_;            // [row block][column block] of sums: the residual stream
  bf16 *const query_, *const key_, *const value_;

 public:
  Group(const Model& model, int clips, int tokens, const Table& table)
      : sizes_(model.sizes),
        weights_(model.weights),
        cos_(model.cos),
        sin_(model.sin),
        tokens_(tokens),
        clip_blocks_(blocks_of(tokens)),
        row_blocks_(clips * clip_blocks_),
        column_blocks_(model.sizes.dim / SIDE),
        parts_(blocks_of(model.sizes.head)),
        head_blocks_(model.sizes.heads * parts_),
        stream_(table.stream.data()),
        query_(table.query.data()),
        key_(table.key.data()),
        value_(table.value.data()) {}

  int row_blocks() const { return row_blocks_; }

  // Tokens [clip][token][channel] into row blocks [begin, end); rows beyond a clip's last are 0.
  void read(const float* tokens, int begin, int end) {
    for_rows(begin, end, [&](int clip, int token, float* row) {
      const float* from = tokens + (static_cast<std::size_t>(clip) * tokens_ + token) * sizes_.dim;
      for (int column = 0; column < column_blocks_; ++column)
        for (int half = 0; half < 2; ++half) {
          const Vector x =
              token < tokens_ ? load(from + column * SIDE + half * 16) : _mm512_setzero_ps();
          store(row + column * SPACED + half * SUMS, x);
        }
    });
  }

  // Patches of frames [clip][frame][row][column][3] into row blocks [begin, end), as tokens.
  //
  // Centred bytes are exact in bfloat16; of the weights a second product adds what it rounds away.
  void embed(const std::uint8_t* frames, int begin, int end, const Desk& desk) {
    const int steps = blocks_of(sizes_.patch_bytes());
    for_rows(begin, end, [&](int clip, int token, float* row) {
      for (int column = 0; column < column_blocks_; ++column)
        for (int half = 0; half < 2; ++half)
          store(row + column * SPACED + half * SUMS,
                load(weights_.embed_bias + column * SIDE + half * 16));
      const int block = clip * clip_blocks_ + token / SIDE - begin;
      bf16* to = desk.patches.data() + (block * steps * SIDE + token % SIDE) * SIDE;
      gather(frames, clip, std::min(token, tokens_ - 1), to, desk.bytes.data());
    });
    float* stream = stream_ + static_cast<std::size_t>(begin) * column_blocks_ * SPACED;
    for (const bf16* weights : {weights_.embed, weights_.embed_rest})
      add_product(desk.patches.data(), end - begin, weights, column_blocks_, steps, stream);
  }

  // Normed tokens of row blocks [begin, end) to [clip][token][channel].
  void write(float* tokens, int begin, int end) const {
    const float *norm = weights_.norm, *shift = weights_.shift;
    for_rows(begin, end, [&](int clip, int token, float* row) {
      if (token >= tokens_) return;
      const Moments found = moments(row, column_blocks_, sizes_.eps);
      float* to = tokens + (static_cast<std::size_t>(clip) * tokens_ + token) * sizes_.dim;
      for (int column = 0; column < column_blocks_; ++column)
        for (int half = 0; half < 2; ++half) {
          const int channel = column * SIDE + half * 16;
          store(to + channel, normed(load(row + column * SPACED + half * SUMS), found,
                                     load(norm + channel), load(shift + channel)));
        }
    });
  }

  // Queries, keys and values of row blocks [begin, end).
  void project(int layer, int begin, int end, const Desk& desk) const {
    const Layer& weights = weights_.layers[layer];
    bf16* rows = desk.normed.data();
    normalise(weights.norm1, weights.shift1, weights.proj_bias, rows, begin, end);
    alignas(64) bf16 turned[BLOCK];
    product(rows, end - begin, weights.qkv, weights.qkv_bias, 3 * head_blocks_, column_blocks_,
            desk.sums.data(), [&](int row, int column, const float* sums, int piece) {
              const int kind = column / head_blocks_, part = column % head_blocks_;
              if (kind == 0)
                keep_query(sums, begin + row, part, piece);
              else if (kind == 1)
                keep_key(sums, begin + row, part, piece, turned);
              else
                keep_value(sums, begin + row, part, piece);
            });
  }

  // Everything behind the values, for row blocks [begin, end).
  void mix(int layer, int begin, int end, const Desk& desk) const {
    const Layer& weights = weights_.layers[layer];
    const int blocks = end - begin, inner = sizes_.inner / SIDE;
    float* stream = stream_ + static_cast<std::size_t>(begin) * column_blocks_ * SPACED;
    float* sums = desk.sums.data();
    bf16* rows = desk.normed.data();
    for (int head = 0; head < sizes_.heads; ++head)
      for (int row = 0; row < blocks; ++row)
        attend(head, begin + row, rows + (row * head_blocks_ + head * parts_) * BLOCK, desk);
    add_product(rows, blocks, weights.proj, column_blocks_, head_blocks_, stream);

    normalise(weights.norm2, weights.shift2, weights.fc2_bias, rows, begin, end);
    bf16* hidden = desk.hidden.data();
    for (int part = 0; part < sizes_.hidden / sizes_.inner; ++part) {
      const std::size_t first = static_cast<std::size_t>(part) * inner * column_blocks_ * BLOCK;
      product(rows, blocks, weights.fc1 + first, weights.fc1_bias + part * sizes_.inner, inner,
              column_blocks_, sums, [&](int row, int column, const float* found, int piece) {
                bf16* to = hidden + (row * inner + column) * BLOCK;
                for_halves(found, piece, [&](int r, Vector low, Vector high) {
                  store_pair(to + r * SIDE, gelu(low), gelu(high));
                });
              });
      add_product(hidden, blocks, weights.fc2 + first, column_blocks_, inner, stream);
    }
  }

 private:
  // act(clip, token, row) for each row: `row` is its first channel, others follow in blocks.
  template <class Act>
  void for_rows(int begin, int end, Act act) const {
    for (int block = begin; block < end; ++block)
      for (int r = 0; r < SIDE; ++r)
        act(block / clip_blocks_, block % clip_blocks_ * SIDE + r,
            row_of(stream_, block * SIDE + r, column_blocks_));
  }

  // One token's patch as a row of a left operand.
  void gather(const std::uint8_t* frames, int clip, int token, bf16* to,
              std::uint8_t* bytes) const {
    const int patch = sizes_.patch, across = sizes_.width / patch;
    const int piece = 3 * patch, line = 3 * sizes_.width;
    const int place = token % (sizes_.height / patch * across),
              tubelet = token / (sizes_.height / patch * across);
    const int clip_frames = tokens_ / (sizes_.height / patch * across) * sizes_.tubelet;
    const std::uint8_t* corner =
        frames + static_cast<std::size_t>(place / across * patch) * line + place % across * piece;
    std::uint8_t* end = bytes;
    for (int frame = 0; frame < sizes_.tubelet; ++frame) {
      const std::size_t index =
          static_cast<std::size_t>(clip) * clip_frames + tubelet * sizes_.tubelet + frame;
      const std::uint8_t* from = corner + index * sizes_.height * line;
      for (int row = 0; row < patch; ++row, end += piece)
        std::memcpy(end, from + row * line, piece);
    }
    for (int step = 0; step < blocks_of(sizes_.patch_bytes()); ++step)
      store_centred(to + step * BLOCK, bytes + step * SIDE);
  }

  // Normed rows as a left operand. Adds `bias`, that of the next product onto the stream, to it.
  void normalise(const float* norm, const float* shift, const float* bias, bf16* rows, int begin,
                 int end) const {
    for_rows(begin, end, [&](int clip, int token, float* row) {
      const Moments found = moments(row, column_blocks_, sizes_.eps);
      const int block = clip * clip_blocks_ + token / SIDE - begin, r = token % SIDE;
      bf16* to = rows + static_cast<std::size_t>(block) * column_blocks_ * BLOCK + r * SIDE;
      for (int column = 0; column < column_blocks_; ++column) {
        float* from = row + column * SPACED;
        const int channel = column * SIDE;
        const Vector low = load(from), high = load(from + SUMS);
        store_pair(to + column * BLOCK,
                   normed(low, found, load(norm + channel), load(shift + channel)),
                   normed(high, found, load(norm + channel + 16), load(shift + channel + 16)));
        store(from, _mm512_add_ps(low, load(bias + channel)));
        store(from + SUMS, _mm512_add_ps(high, load(bias + channel + 16)));
      }
    });
  }

  // x cos + (x with its pairs swapped) sin; the sine carries the swap's sign.
  Vector rotated(Vector x, int token, int channel) const {
    const std::size_t at = static_cast<std::size_t>(token) * parts_ * SIDE + channel;
    const Vector swapped = _mm512_permute_ps(x, 0xb1);
    return _mm512_fmadd_ps(swapped, load(sin_ + at), _mm512_mul_ps(x, load(cos_ + at)));
  }

  // Both halves of the two rows of a piece of a block: act(row, low, high).
  template <class Act>
  static void for_halves(const float* sums, int piece, Act act) {
    for (int r = 2 * piece; r < 2 * piece + 2; ++r) {
      const float* row = sums + r / 16 * 2 * SUMS + r % 16 * 16;
      act(r, load(row), load(row + SUMS));
    }
  }

  // Where a part of a head's channels lies in queries and keys; parts are counted over all heads.
  std::size_t place(int row, int part) const {
    const std::size_t head = part / parts_;
    return ((head * row_blocks_ + row) * parts_ + part % parts_) * BLOCK;
  }

  // A left operand: [head][row block][part]. Scaled so that 2^score is wanted.
  void keep_query(const float* sums, int row, int part, int piece) const {
    const Vector scale = _mm512_set1_ps(sizes_.sharpness);
    const int first = row % clip_blocks_ * SIDE, channel = part % parts_ * SIDE;
    bf16* to = query_ + place(row, part);
    for_halves(sums, piece, [&](int r, Vector low, Vector high) {
      store_pair(to + r * SIDE, _mm512_mul_ps(rotated(low, first + r, channel), scale),
                 _mm512_mul_ps(rotated(high, first + r, channel + 16), scale));
    });
  }

  // A right operand whose columns are tokens: [head][row block][part]. `turned` holds the rows
  // until they are turned to columns.
  void keep_key(const float* sums, int row, int part, int piece, bf16* turned) const {
    const int first = row % clip_blocks_ * SIDE, channel = part % parts_ * SIDE;
    for_halves(sums, piece, [&](int r, Vector low, Vector high) {
      store_pair(turned + r * SIDE, rotated(low, first + r, channel),
                 rotated(high, first + r, channel + 16));
    });
    constexpr int HALF = PIECES / 2;
    if (piece % HALF != HALF - 1) return;
    const int tile = piece / HALF * TILE;
    transpose(reinterpret_cast<const std::uint32_t*>(turned + tile),
              reinterpret_cast<std::uint32_t*>(key_ + place(row, part) + tile));
  }

  // A right operand whose steps are tokens: [head][part][row block].
  void keep_value(const float* sums, int row, int part, int piece) const {
    bf16* to = value_ + (static_cast<std::size_t>(part) * row_blocks_ + row) * BLOCK + piece * SIDE;
    const float* from = sums + piece / 8 * 2 * SUMS + piece % 8 * 2 * 16;
    store_woven(to, load(from), load(from + 16));
    store_woven(to + TILE, load(from + SUMS), load(from + SUMS + 16));
  }

  // Attention of one head and one row block over its clip: mixed values, to that head's columns
  // of a left operand.
  void attend(int head, int row, bf16* to, const Desk& desk) const {
    const int first = row / clip_blocks_ * clip_blocks_;
    float* scores = desk.scores.data();
    bf16* chances = desk.chances.data();
    const bf16* query = query_ + place(row, head * parts_);
    const bf16* keys = key_ + place(first, head * parts_);
    for (int other = 0; other < clip_blocks_; ++other) {
      zero_sums();
      multiply(query, keys + static_cast<std::size_t>(other) * parts_ * BLOCK, parts_);
      store_sums(scores + other * SPACED);
    }
    hide_missing(scores + (clip_blocks_ - 1) * SPACED);
    alignas(64) float share[SIDE], mixed[BLOCK];
    for (int r = 0; r < SIDE; ++r) share[r] = softmax(scores, chances, r);
    for (int part = 0; part < parts_; ++part) {
      const std::size_t values =
          static_cast<std::size_t>(head * parts_ + part) * row_blocks_ + first;
      zero_sums();
      multiply(chances, value_ + values * BLOCK, clip_blocks_, CHANCES);
      store_sums(mixed);
      for (int piece = 0; piece < PIECES; ++piece)
        for_halves(mixed, piece, [&](int r, Vector low, Vector high) {
          const Vector scale = _mm512_set1_ps(share[r]);
          store_pair(to + part * BLOCK + r * SIDE, _mm512_mul_ps(low, scale),
                     _mm512_mul_ps(high, scale));
        });
    }
  }

  // Scores of tokens that fill up a clip's last block.
  void hide_missing(float* last) const {
    const int present = tokens_ - (clip_blocks_ - 1) * SIDE;
    for (int r = 0; r < SIDE; ++r)
      for (int c = present; c < SIDE; ++c)
        last[(r / 16 * 2 + c / 16) * SUMS + r % 16 * 16 + c % 16] =
            -std::numeric_limits<float>::infinity();
  }

  // 2^(score - highest) of a row as bfloat16; gives one over their sum.
  float softmax(const float* scores, bf16* chances, int r) const {
    const float* row = scores + r / 16 * 2 * SUMS + r % 16 * 16;
    Vector low = load(row), high = load(row + SUMS);
    for (int other = 1; other < clip_blocks_; ++other) {
      low = _mm512_max_ps(low, load(row + other * SPACED));
      high = _mm512_max_ps(high, load(row + other * SPACED + SUMS));
    }
    const Vector highest = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(low, high)));
    low = high = _mm512_setzero_ps();
    for (int other = 0; other < clip_blocks_; ++other) {
      const Vector x = exp2(_mm512_sub_ps(load(row + other * SPACED), highest));
      const Vector y = exp2(_mm512_sub_ps(load(row + other * SPACED + SUMS), highest));
      low = _mm512_add_ps(low, x);
      high = _mm512_add_ps(high, y);
      store_pair(chances + other * CHANCES + r * SIDE, x, y);
    }
    return 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(low, high));
  }
};

}  // namespace foresight
