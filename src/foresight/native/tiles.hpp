// Matrix products on AMX: bfloat16 in, fp32 sums, in blocks of 32 x 32.
//
// All matrices lie in memory as the tile unit reads them, so that every tile is one piece of 1 KiB:
//
//   left operand (activations)  [row block][step of 32 channels][2 tiles of 16 rows][16][32]
//   right operand (weights)     [column block][step][2 tiles of 16 columns][16 pairs][16][2]
//   sums (fp32)                 [2 tiles of 16 rows][2 tiles of 16 columns][16][16]
//
// Rows that follow each other at a power of two would share a few sets of the first cache.

#pragma once

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace foresight {

using bf16 = std::uint16_t;

constexpr int SIDE = 32;            // rows and columns of a block
constexpr int BLOCK = SIDE * SIDE;  // its numbers
constexpr int TILE = BLOCK / 2;     // bfloat16 numbers of a tile
constexpr int SUMS = BLOCK / 4;     // fp32 numbers of a tile
// From one block of sums to the next. They lie a line further apart than they are long: rows are
// read across blocks, and at a power of two these would share a few sets of the first cache.
constexpr int SPACED = BLOCK + 16;

constexpr int blocks_of(int count) { return (count + SIDE - 1) / SIDE; }

// Tile registers: 0 to 3 hold the sums of a block, 4 and 5 its rows, 6 and 7 its columns.

// Keeps the compiler from moving what reads or writes memory across: GCC does not know what its
// tile instructions read and write.
inline void in_order() { asm volatile("" ::: "memory"); }

// The tile registers of this thread, set up for full tiles and afterwards put back as they were:
// oneDNN sets its own and relies on finding them.
class Tiles {
  struct alignas(64) Setting {
    std::uint8_t palette, start, reserved[14];
    std::uint16_t bytes[16];
    std::uint8_t rows[16];
  };
  Setting before_;

 public:
  Tiles() {
    static const Setting full = {
        1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_storeconfig(&before_);
    in_order();
    _tile_loadconfig(&full);
  }
  ~Tiles() {
    in_order();
    if (before_.palette)
      _tile_loadconfig(&before_);
    else
      _tile_release();
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// Asks Linux for the tile registers, which a process gets on demand only.
inline bool tiles_allowed() {
  constexpr int REQUEST = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

inline void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

inline void load_sums(const float* sums) {
  in_order();
  _tile_loadd(0, sums, 64);
  _tile_loadd(1, sums + SUMS, 64);
  _tile_loadd(2, sums + 2 * SUMS, 64);
  _tile_loadd(3, sums + 3 * SUMS, 64);
}

inline void store_sums(float* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + SUMS, 64);
  _tile_stored(2, sums + 2 * SUMS, 64);
  _tile_stored(3, sums + 3 * SUMS, 64);
  in_order();
}

// Sums that begin as a row of 32 numbers in every row.
inline void spread_sums(const float* row) {
  in_order();
  _tile_loadd(0, row, 0);
  _tile_loadd(1, row + 16, 0);
  _tile_loadd(2, row, 0);
  _tile_loadd(3, row + 16, 0);
}

// Sums of a product's part: what the parts before have left, or the bias.
inline void begin_part(int part, const float* sums, const float* bias) {
  if (part)
    load_sums(sums);
  else
    spread_sums(bias);
}

// Adds a block's product over `steps` times 32 channels to the sums in the registers, and calls
// beside(step) while they are at work: its arithmetic runs on other units.
//
// Rows pass through the first cache without settling there: the columns, which many row blocks
// share, stay.
template <class Beside>
void multiply(const bf16* rows, const bf16* columns, int steps, int row_stride, Beside beside) {
  in_order();
  for (int step = 0; step < steps; ++step, rows += row_stride, columns += BLOCK) {
    _tile_stream_loadd(4, rows, 64);
    _tile_loadd(6, columns, 64);
    _tile_loadd(7, columns + TILE, 64);
    _tile_stream_loadd(5, rows + TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    beside(step);
  }
  in_order();
}

inline void multiply(const bf16* rows, const bf16* columns, int steps, int row_stride = BLOCK) {
  multiply(rows, columns, steps, row_stride, [](int) {});
}

// Pieces of work done by piece(0) to piece(PIECES - 1), spread evenly over some steps.
constexpr int PIECES = 16;

template <class Piece>
void spread(int step, int steps, Piece piece) {
  for (int i = PIECES * step / steps; i < PIECES * (step + 1) / steps; ++i) piece(i);
}

// All blocks of a product: each(row block, column block, part, parts, multiply).
//
// A column block is taken in parts that fit into the first cache beside what passes through. The
// next one is fetched into the second cache meanwhile: weights come from far away.
template <class Each>
void for_blocks(const bf16* left, int row_blocks, const bf16* right, int column_blocks, int steps,
                Each each) {
  constexpr int MOST = 16, LINE = 32, LINES = BLOCK / LINE;
  const int parts = (steps + MOST - 1) / MOST;
  const int lines = (LINES + row_blocks - 1) / row_blocks;
  for (int column = 0; column < column_blocks; ++column) {
    for (int part = 0; part < parts; ++part) {
      const int first = steps * part / parts, count = steps * (part + 1) / parts - first;
      const bf16* columns = right + (column * steps + first) * BLOCK;
      const bf16* next = columns + (column + 1 < column_blocks ? steps : 0) * BLOCK;
      for (int row = 0; row < row_blocks; ++row) {
        const bf16* rows = left + (row * steps + first) * BLOCK;
        const bf16* ahead = next + row * count * lines * LINE;
        each(row, column, part, parts, [&](auto beside) {
          multiply(rows, columns, count, BLOCK, [&](int step) {
            for (int line = step * lines; line < (step + 1) * lines; ++line)
              _mm_prefetch(reinterpret_cast<const char*>(ahead + line * LINE), _MM_HINT_T1);
            beside(step, count);
          });
        });
      }
    }
  }
}

// left x right + bias, handed on in pieces of two rows: take(row block, column block, sums, piece).
//
// A block is handed on while the next one is multiplied. `sums` holds as many blocks as there are
// row blocks.
template <class Take>
void product(const bf16* left, int row_blocks, const bf16* right, const float* bias,
             int column_blocks, int steps, float* sums, Take take) {
  const float* held = nullptr;
  int held_row = 0, held_column = 0;
  for_blocks(left, row_blocks, right, column_blocks, steps,
             [&](int row, int column, int part, int parts, auto multiply_part) {
               float* here = sums + (parts > 1 ? row : 0) * BLOCK;
               begin_part(part, here, bias + column * SIDE);
               multiply_part([&](int step, int steps_of_part) {
                 if (held)
                   spread(step, steps_of_part,
                          [&](int piece) { take(held_row, held_column, held, piece); });
               });
               store_sums(here);
               const bool whole = part == parts - 1;
               held = whole ? here : nullptr, held_row = row, held_column = column;
             });
  for (int piece = 0; piece < PIECES; ++piece) take(held_row, held_column, held, piece);
}

// left x right + bias, to [row block][column block] of sums, `SPACED`.
inline void put_product(const bf16* left, int row_blocks, const bf16* right, const float* bias,
                        int column_blocks, int steps, float* onto) {
  for_blocks(left, row_blocks, right, column_blocks, steps,
             [&](int row, int column, int part, int, auto multiply_part) {
               float* sums = onto + (row * column_blocks + column) * SPACED;
               begin_part(part, sums, bias + column * SIDE);
               multiply_part([](int, int) {});
               store_sums(sums);
             });
}

// left x right added to [row block][column block] of sums, `SPACED`.
inline void add_product(const bf16* left, int row_blocks, const bf16* right, int column_blocks,
                        int steps, float* onto) {
  for_blocks(left, row_blocks, right, column_blocks, steps,
             [&](int row, int column, int, int, auto multiply_part) {
               float* sums = onto + (row * column_blocks + column) * SPACED;
               load_sums(sums);
               multiply_part([](int, int) {});
               store_sums(sums);
             });
}

}  // namespace foresight
