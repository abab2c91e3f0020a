// What Python calls, see build.py.

#include <exception>

#include "encoder.hpp"
#include "rollout.hpp"

extern "C" {

// Whether this process may use the tile registers.
int foresight_allowed() { return foresight::tiles_allowed(); }

// Tokens after all layers and the last norm; 0, or 1 where memory or threads ran out.
//
//   frames    bytes [clips][frames][height][width][3], or null
//   tokens    fp32 [clips][clip_tokens][dim], embedded, where there are no frames
//   out       fp32 [clips][clip_tokens][dim]
int foresight_encode(const foresight::Sizes* sizes, const foresight::Weights* weights,
                     const float* cos, const float* sin, const std::uint8_t* frames,
                     const float* tokens, float* out, int clips, int clip_tokens, int threads) {
  try {
    foresight::encode({{*sizes, *weights, cos, sin}, frames, tokens, out, clips, clip_tokens},
                      threads);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

// Imagined futures of some candidates by one member; 0, or 1 where memory ran out.
//
//   start         fp32 [rows][latent]
//   actions       bfloat16 [horizon][rows][actions], steps `next_actions` numbers apart
//   out           fp32 [horizon + 1][rows][latent], steps `next_state` numbers apart
int foresight_roll(const foresight::Net* net, const void* const* weights, const float* start,
                   const foresight::bf16* actions, float* out, int rows, int horizon,
                   std::int64_t next_actions, std::int64_t next_state) {
  try {
    foresight::roll(*net, weights, start, actions, out, rows, horizon, next_actions, next_state);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
}
