// The blocks of a frozen V-JEPA 2 encoder on processors with AMX: `foresight.perception.native`.
//
// The same function as `trunk.FastBlock`: products in bfloat16, the residual stream in fp32. Three
// things make it faster than a sequence of operations. Numbers stay where the tile unit wants them
// from one product to the next. Norms, rotation, softmax and GELU work on a block just multiplied
// while the next one is under way. And a chunk of rows goes through attention, projection and MLP
// while it lies in the core's own cache.

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "tiles.hpp"
#include "vectors.hpp"

namespace foresight {

constexpr int HEAD = 64;    // channels of a head
constexpr int CHUNK = 8;    // row blocks that go through a layer together
constexpr int GROUP = 256;  // rows at least, of whole clips, where there are as many

// Sizes of an encoder; `foresight.perception.native.Sizes` has the same fields.
struct Sizes {
  std::int32_t dim, depth, heads, hidden, inner;
  float eps;
};

// A block's weights in the order of `foresight.perception.native.LAYER`.
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

// Memory at a cache line's start.
template <class T>
class Buffer {
  T* data_ = nullptr;
  std::size_t size_ = 0;

 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : data_(other.data_), size_(other.size_) { other.data_ = nullptr; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  T* room(std::size_t size) {
    if (size > size_) {
      std::free(data_);
      size_ = 0;
      const std::size_t bytes = (size * sizeof(T) + 4095) / 4096 * 4096;
      data_ = static_cast<T*>(std::aligned_alloc(4096, bytes));
      if (!data_) throw std::bad_alloc();
      size_ = size;
    }
    return data_;
  }
};

// What one thread needs for itself.
struct Desk {
  Buffer<bf16> normed, hidden, chances;
  Buffer<float> scores, sums;
};

// What the threads of a group share.
struct Table {
  Buffer<float> stream;
  Buffer<bf16> query, key, value;
};

// Desks and tables outlive a call: fresh memory costs a page fault every 4 KiB.
struct Room {
  Table table;
  std::vector<Desk> desks;
};

std::mutex rooms_lock;
std::vector<std::unique_ptr<Room>> rooms;

std::unique_ptr<Room> take_room(int threads) {
  std::unique_ptr<Room> room;
  {
    std::lock_guard<std::mutex> guard(rooms_lock);
    if (!rooms.empty()) room = std::move(rooms.back()), rooms.pop_back();
  }
  if (!room) room = std::make_unique<Room>();
  if (static_cast<int>(room->desks.size()) < threads) room->desks.resize(threads);
  return room;
}

void give_room(std::unique_ptr<Room> room) {
  std::lock_guard<std::mutex> guard(rooms_lock);
  rooms.push_back(std::move(room));
}

// Some clips of one call on their way through the blocks.
class Group {
  const Sizes& sizes_;
  const Layer* layers_;
  const float *cos_, *sin_;
  int tokens_, clip_blocks_, row_blocks_, column_blocks_;
  float* stream_;  // [row block][column block] of sums: the residual stream
  bf16 *query_, *key_, *value_;

 public:
  Group(const Sizes& sizes, const Layer* layers, const float* cos, const float* sin, int clips,
        int tokens, Table& table)
      : sizes_(sizes), layers_(layers), cos_(cos), sin_(sin), tokens_(tokens) {
    clip_blocks_ = (tokens + SIDE - 1) / SIDE;
    row_blocks_ = clips * clip_blocks_;
    column_blocks_ = sizes.dim / SIDE;
    const std::size_t numbers = static_cast<std::size_t>(row_blocks_) * column_blocks_ * BLOCK;
    stream_ = table.stream.room(numbers);
    query_ = table.query.room(numbers);
    key_ = table.key.room(numbers);
    value_ = table.value.room(numbers);
  }

  int row_blocks() const { return row_blocks_; }

  // Tokens [clip][token][channel] into row blocks [begin, end); rows beyond a clip's last are 0.
  void read(const float* tokens, int begin, int end) {
    for_rows(begin, end, [&](int clip, int token, float* row) {
      const float* from = tokens + (static_cast<std::size_t>(clip) * tokens_ + token) * sizes_.dim;
      for (int column = 0; column < column_blocks_; ++column)
        for (int half = 0; half < 2; ++half) {
          const Vector x =
              token < tokens_ ? load(from + column * SIDE + half * 16) : _mm512_setzero_ps();
          store(row + column * BLOCK + half * SUMS, x);
        }
    });
  }

  // Normed tokens of row blocks [begin, end) to [clip][token][channel].
  void write(const float* norm, const float* shift, float* tokens, int begin, int end) const {
    for_rows(begin, end, [&](int clip, int token, float* row) {
      if (token >= tokens_) return;
      const auto [mean, scale] = moments(row);
      float* to = tokens + (static_cast<std::size_t>(clip) * tokens_ + token) * sizes_.dim;
      for (int column = 0; column < column_blocks_; ++column)
        for (int half = 0; half < 2; ++half) {
          const int channel = column * SIDE + half * 16;
          store(to + channel, normed(load(row + column * BLOCK + half * SUMS), mean, scale,
                                     load(norm + channel), load(shift + channel)));
        }
    });
  }

  // Queries, keys and values of row blocks [begin, end).
  void project(int layer, int begin, int end, Desk& desk) const {
    const Layer& weights = layers_[layer];
    bf16* rows = desk.normed.room(static_cast<std::size_t>(end - begin) * column_blocks_ * BLOCK);
    normalise(weights.norm1, weights.shift1, weights.proj_bias, rows, begin, end);
    alignas(64) bf16 turned[BLOCK];
    product(rows, end - begin, weights.qkv, weights.qkv_bias, 3 * column_blocks_, column_blocks_,
            desk.sums.room(CHUNK * BLOCK), [&](int row, int column, const float* sums, int piece) {
              const int kind = column / column_blocks_, part = column % column_blocks_;
              if (kind == 0)
                keep_query(sums, begin + row, part, piece);
              else if (kind == 1)
                keep_key(sums, begin + row, part, piece, turned);
              else
                keep_value(sums, begin + row, part, piece);
            });
  }

  // Everything behind the values, for row blocks [begin, end).
  void mix(int layer, int begin, int end, Desk& desk) const {
    const Layer& weights = layers_[layer];
    const int blocks = end - begin, inner = sizes_.inner / SIDE;
    float* stream = stream_ + static_cast<std::size_t>(begin) * column_blocks_ * BLOCK;
    float* sums = desk.sums.room(CHUNK * BLOCK);
    bf16* rows = desk.normed.room(static_cast<std::size_t>(blocks) * column_blocks_ * BLOCK);
    for (int head = 0; head < sizes_.heads; ++head)
      for (int row = 0; row < blocks; ++row)
        attend(head, begin + row, rows + (row * column_blocks_ + 2 * head) * BLOCK, desk);
    add_product(rows, blocks, weights.proj, column_blocks_, column_blocks_, stream);

    normalise(weights.norm2, weights.shift2, weights.fc2_bias, rows, begin, end);
    bf16* hidden = desk.hidden.room(static_cast<std::size_t>(blocks) * inner * BLOCK);
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
            stream_ + static_cast<std::size_t>(block) * column_blocks_ * BLOCK +
                r / 16 * 2 * SUMS + r % 16 * 16);
  }

  struct Moments {
    Vector mean, scale;
  };

  Moments moments(const float* row) const {
    Vector low = _mm512_setzero_ps(), high = low;
    for (int column = 0; column < column_blocks_; ++column) {
      low = _mm512_add_ps(low, load(row + column * BLOCK));
      high = _mm512_add_ps(high, load(row + column * BLOCK + SUMS));
    }
    const float share = 1.0f / sizes_.dim;
    const Vector mean = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_add_ps(low, high)) * share);
    low = high = _mm512_setzero_ps();
    for (int column = 0; column < column_blocks_; ++column) {
      const Vector x = _mm512_sub_ps(load(row + column * BLOCK), mean);
      const Vector y = _mm512_sub_ps(load(row + column * BLOCK + SUMS), mean);
      low = _mm512_fmadd_ps(x, x, low);
      high = _mm512_fmadd_ps(y, y, high);
    }
    const float variance = _mm512_reduce_add_ps(_mm512_add_ps(low, high)) * share;
    return {mean, _mm512_set1_ps(1.0f / __builtin_sqrtf(variance + sizes_.eps))};
  }

  static Vector normed(Vector x, Vector mean, Vector scale, Vector norm, Vector shift) {
    return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_sub_ps(x, mean), scale), norm, shift);
  }

  // Normed rows as a left operand. Adds `bias`, that of the next product onto the stream, to it.
  void normalise(const float* norm, const float* shift, const float* bias, bf16* rows, int begin,
                 int end) const {
    for_rows(begin, end, [&](int clip, int token, float* row) {
      const auto [mean, scale] = moments(row);
      const int block = clip * clip_blocks_ + token / SIDE - begin, r = token % SIDE;
      bf16* to = rows + static_cast<std::size_t>(block) * column_blocks_ * BLOCK + r * SIDE;
      for (int column = 0; column < column_blocks_; ++column) {
        float* from = row + column * BLOCK;
        const int channel = column * SIDE;
        const Vector low = load(from), high = load(from + SUMS);
        store_pair(to + column * BLOCK,
                   normed(low, mean, scale, load(norm + channel), load(shift + channel)),
                   normed(high, mean, scale, load(norm + channel + 16),
                          load(shift + channel + 16)));
        store(from, _mm512_add_ps(low, load(bias + channel)));
        store(from + SUMS, _mm512_add_ps(high, load(bias + channel + 16)));
      }
    });
  }

  // x cos + (x with its pairs swapped) sin; the sine carries the swap's sign.
  Vector rotated(Vector x, int token, int channel) const {
    const std::size_t at = static_cast<std::size_t>(token) * HEAD + channel;
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

  // Where a head's half of the channels of a row block lies in queries and keys.
  std::size_t place(int row, int part) const {
    const int head = part / 2, half = part % 2;
    return ((static_cast<std::size_t>(head) * row_blocks_ + row) * 2 + half) * BLOCK;
  }

  // A left operand: [head][row block][half]. Scaled so that 2^score is wanted.
  void keep_query(const float* sums, int row, int part, int piece) const {
    const Vector scale = _mm512_set1_ps(0.125f * 1.4426950408889634f);  // log2(e) / sqrt(HEAD)
    const int first = row % clip_blocks_ * SIDE, channel = part % 2 * SIDE;
    bf16* to = query_ + place(row, part);
    for_halves(sums, piece, [&](int r, Vector low, Vector high) {
      store_pair(to + r * SIDE, _mm512_mul_ps(rotated(low, first + r, channel), scale),
                 _mm512_mul_ps(rotated(high, first + r, channel + 16), scale));
    });
  }

  // A right operand whose columns are tokens: [head][row block][half]. `turned` holds the rows
  // until they are turned to columns.
  void keep_key(const float* sums, int row, int part, int piece, bf16* turned) const {
    const int first = row % clip_blocks_ * SIDE, channel = part % 2 * SIDE;
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

  // A right operand whose steps are tokens: [head][half][row block].
  void keep_value(const float* sums, int row, int part, int piece) const {
    bf16* to = value_ + (static_cast<std::size_t>(part) * row_blocks_ + row) * BLOCK + piece * SIDE;
    const float* from = sums + piece / 8 * 2 * SUMS + piece % 8 * 2 * 16;
    store_woven(to, load(from), load(from + 16));
    store_woven(to + TILE, load(from + SUMS), load(from + SUMS + 16));
  }

  // Blocks of scores and chances lie a line further apart than they are long: rows are read across
  // blocks, and at a power of two these would share a few sets of the first cache.
  static constexpr int SCORES = BLOCK + 16, CHANCES = BLOCK + SIDE;

  // Attention of one head and one row block over its clip: mixed values, to that head's columns
  // of a left operand.
  void attend(int head, int row, bf16* to, Desk& desk) const {
    const int first = row / clip_blocks_ * clip_blocks_;
    float* scores = desk.scores.room(static_cast<std::size_t>(clip_blocks_) * SCORES);
    bf16* chances = desk.chances.room(static_cast<std::size_t>(clip_blocks_) * CHANCES);
    const bf16* query = query_ + place(row, 2 * head);
    const bf16* keys = key_ + place(first, 2 * head);
    for (int other = 0; other < clip_blocks_; ++other) {
      zero_sums();
      multiply(query, keys + static_cast<std::size_t>(other) * 2 * BLOCK, 2);
      store_sums(scores + other * SCORES);
    }
    hide_missing(scores + (clip_blocks_ - 1) * SCORES);
    alignas(64) float share[SIDE], mixed[2][BLOCK];
    for (int r = 0; r < SIDE; ++r) share[r] = softmax(scores, chances, r);
    for (int half = 0; half < 2; ++half) {
      const std::size_t part = 2 * head + half;
      zero_sums();
      multiply(chances, value_ + (part * row_blocks_ + first) * BLOCK, clip_blocks_, CHANCES);
      store_sums(mixed[half]);
    }
    for (int half = 0; half < 2; ++half)
      for (int piece = 0; piece < PIECES; ++piece)
        for_halves(mixed[half], piece, [&](int r, Vector low, Vector high) {
          const Vector scale = _mm512_set1_ps(share[r]);
          store_pair(to + half * BLOCK + r * SIDE, _mm512_mul_ps(low, scale),
                     _mm512_mul_ps(high, scale));
        });
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
      low = _mm512_max_ps(low, load(row + other * SCORES));
      high = _mm512_max_ps(high, load(row + other * SCORES + SUMS));
    }
    const Vector highest = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(low, high)));
    low = high = _mm512_setzero_ps();
    for (int other = 0; other < clip_blocks_; ++other) {
      const Vector x = exp2(_mm512_sub_ps(load(row + other * SCORES), highest));
      const Vector y = exp2(_mm512_sub_ps(load(row + other * SCORES + SUMS), highest));
      low = _mm512_add_ps(low, x);
      high = _mm512_add_ps(high, y);
      store_pair(chances + other * CHANCES + r * SIDE, x, y);
    }
    return 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(low, high));
  }
};

// One thread's part of a group, all layers; `meet` is called where it needs what others made.
template <class Meet>
void run(Group& group, const Sizes& sizes, const void* const* ends, const float* x, float* out,
         int thread, int threads, Desk& desk, Meet meet) {
  const int blocks = group.row_blocks();
  const int chunk = std::max(1, std::min(CHUNK, (blocks + threads - 1) / threads));
  const auto chunks = [&](auto act) {
    for (int begin = thread * chunk; begin < blocks; begin += threads * chunk)
      act(begin, std::min(blocks, begin + chunk));
  };
  chunks([&](int begin, int end) { group.read(x, begin, end); });
  for (int layer = 0; layer < sizes.depth; ++layer) {
    chunks([&](int begin, int end) { group.project(layer, begin, end, desk); });
    meet();
    chunks([&](int begin, int end) { group.mix(layer, begin, end, desk); });
    meet();
  }
  chunks([&](int begin, int end) {
    group.write(static_cast<const float*>(ends[0]), static_cast<const float*>(ends[1]), out, begin,
                end);
  });
}

void encode(const Sizes& sizes, const Layer* layers, const void* const* ends, const float* x,
            float* out, const float* cos, const float* sin, int clips, int tokens, int threads) {
  const int rows = (tokens + SIDE - 1) / SIDE * SIDE;
  const int together = std::max(1, GROUP / rows);
  std::unique_ptr<Room> room = take_room(threads);
  for (int first = 0; first < clips; first += together) {
    const std::size_t at = static_cast<std::size_t>(first) * tokens * sizes.dim;
    Group group(sizes, layers, cos, sin, std::min(together, clips - first), tokens, room->table);
    if (threads == 1) {
      const Tiles tiles;
      run(group, sizes, ends, x + at, out + at, 0, 1, room->desks[0], [] {});
      continue;
    }
    std::barrier meeting(threads);
    std::vector<std::thread> others;
    const auto part = [&](int thread) {
      const Tiles tiles;
      run(group, sizes, ends, x + at, out + at, thread, threads, room->desks[thread],
          [&] { meeting.arrive_and_wait(); });
    };
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(part, thread);
    part(0);
    for (std::thread& other : others) other.join();
  }
  give_room(std::move(room));
}

}  // namespace foresight

extern "C" {

// Whether this process may use the tile registers.
int foresight_allowed() { return foresight::tiles_allowed(); }

// Tokens after all blocks and the final norm; 0, or 1 where memory ran out.
//
//   weights  12 pointers for each layer, then scale and shift of the final norm
//   x, out   fp32 [clips][tokens][dim], before and after
//   cos, sin fp32 [tokens, filled up to blocks of 32][64], the sine negative at even channels
int foresight_blocks(const foresight::Sizes* sizes, const void* const* weights, const float* x,
                     float* out, const float* cos, const float* sin, int clips, int tokens,
                     int threads) {
  static_assert(sizeof(foresight::Layer) == 12 * sizeof(void*));
  try {
    foresight::encode(*sizes, reinterpret_cast<const foresight::Layer*>(weights),
                      weights + 12 * sizes->depth, x, out, cos, sin, clips, tokens, threads);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
}
