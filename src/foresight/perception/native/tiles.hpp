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

// Tile registers: 0 to 3 hold the sums of a block, 4 and 5 its rows, 6 and 7 its columns.

// The tile registers of this thread, set up for full tiles and afterwards put back as they were:
// oneDNN sets its own and relies on finding them.
class Tiles {
  struct alignas(64) Setting {
    std::uint8_t palette = 0, start = 0, reserved[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
  Setting before_;

 public:
  Tiles() {
    _tile_storeconfig(&before_);
    Setting ours;
    ours.palette = 1;
    for (int tile = 0; tile < 8; ++tile) ours.bytes[tile] = 64, ours.rows[tile] = 16;
    _tile_loadconfig(&ours);
  }
  ~Tiles() {
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
}

// Adds a block's product over `steps` times 32 channels to the sums in the registers.
inline void multiply(const bf16* rows, const bf16* columns, int steps) {
  for (int step = 0; step < steps; ++step, rows += BLOCK, columns += BLOCK) {
    _tile_loadd(4, rows, 64);
    _tile_loadd(6, columns, 64);
    _tile_loadd(7, columns + TILE, 64);
    _tile_loadd(5, rows + TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

// A product whose blocks are handed on: take(row block, column block, sums).
//
// A block is handed on after the next one's products are under way: its arithmetic runs beside
// them on other units. `sums` holds two blocks.
template <class Take>
void product(const bf16* left, int row_blocks, const bf16* right, int column_blocks, int steps,
             float* sums, Take take) {
  int held_row = -1, held_column = 0, turn = 0;
  for (int column = 0; column < column_blocks; ++column) {
    for (int row = 0; row < row_blocks; ++row) {
      zero_sums();
      multiply(left + row * steps * BLOCK, right + column * steps * BLOCK, steps);
      if (held_row >= 0) take(held_row, held_column, sums + (turn ^ 1) * BLOCK);
      store_sums(sums + turn * BLOCK);
      held_row = row, held_column = column, turn ^= 1;
    }
  }
  take(held_row, held_column, sums + (turn ^ 1) * BLOCK);
}

// A product added to what is there: onto [row block][column block] of sums.
inline void add_product(const bf16* left, int row_blocks, const bf16* right, int column_blocks,
                        int steps, float* onto) {
  for (int column = 0; column < column_blocks; ++column) {
    for (int row = 0; row < row_blocks; ++row) {
      float* sums = onto + (row * column_blocks + column) * BLOCK;
      load_sums(sums);
      multiply(left + row * steps * BLOCK, right + column * steps * BLOCK, steps);
      store_sums(sums);
    }
  }
}

}  // namespace foresight
