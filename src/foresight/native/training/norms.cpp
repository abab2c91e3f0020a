// What lies between the matrix products of an update: LayerNorm with its activation, and SimNorm.
//
// Rows belong to groups (members of an ensemble) with a bias, gain and offset each. Sums run in a
// fixed order, so the same numbers always give the same result.

#include "lanes.hpp"

namespace foresight {

constexpr int WIDEST = 4096;
enum Activation { RELU, SILU };

struct Sizes {
  std::int64_t groups, rows, width;
};

struct Affine {
  const float *bias, *gain, *offset;
};

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp(-x)); }

template <int act>
Floats activated(Floats x) {
  return act == RELU ? (x > 0.0f ? x : (x != x ? x : Floats{})) : x * sigmoid(x);
}

template <int act>
Floats slope(Floats x) {
  if (act == RELU) return x > 0.0f ? all(1.0f) : Floats{};
  const Floats share = sigmoid(x);
  return share * (1.0f + x * (1.0f - share));
}

// act(gain * norm(in + bias) + offset) of a row, and its mean and one over its deviation.
template <int act, class T>
void forward(int width, Affine of, float eps, const T* in, T* out, float* means, float* scales) {
  float row[WIDEST];
  Floats total[2]{}, squares[2]{};
  for (int c = 0; c < width; c += 2 * LANES)
    for (int i = 0; i < 2; ++i) {
      const int at = c + i * LANES;
      const Floats x = load(in + at) + load(of.bias + at);
      store(row + at, x);
      total[i] += x;
    }
  const float mean = sum(total[0] + total[1]) / width;
  for (int c = 0; c < width; c += 2 * LANES)
    for (int i = 0; i < 2; ++i) {
      const Floats x = load(row + c + i * LANES) - mean;
      squares[i] += x * x;
    }
  const float scale = 1.0f / __builtin_sqrtf(sum(squares[0] + squares[1]) / width + eps);
  for (int c = 0; c < width; c += LANES) {
    const Floats normed = (load(row + c) - mean) * scale;
    store(out + c, activated<act>(normed * load(of.gain + c) + load(of.offset + c)));
  }
  *means = mean;
  *scales = scale;
}

// The gradient of a row `in` from that of what `forward` gave; those of bias, gain and offset are
// added to `sums` [3][width] where there are any.
template <int act, class T>
void backward(int width, Affine of, float mean, float scale, const T* in, const T* above, T* below,
              float* sums) {
  float normed[WIDEST], weighted[WIDEST];
  Floats total[2]{}, product[2]{};
  for (int c = 0; c < width; c += 2 * LANES)
    for (int i = 0; i < 2; ++i) {
      const int at = c + i * LANES;
      const Floats x = (load(in + at) + load(of.bias + at) - mean) * scale;
      const Floats gain = load(of.gain + at);
      const Floats up = load(above + at) * slope<act>(x * gain + load(of.offset + at));
      if (sums) {
        store(sums + width + at, load(sums + width + at) + up * x);
        store(sums + 2 * width + at, load(sums + 2 * width + at) + up);
      }
      store(normed + at, x);
      store(weighted + at, up * gain);
      total[i] += up * gain;
      product[i] += up * gain * x;
    }
  const float shift = sum(total[0] + total[1]) / width;
  const float along = sum(product[0] + product[1]) / width;
  for (int c = 0; c < width; c += LANES) {
    const Floats x = (load(weighted + c) - shift - load(normed + c) * along) * scale;
    if (sums) store(sums + c, load(sums + c) + x);
    store(below + c, x);
  }
}

// softmax(log(max(z, least)) + change + bias) over `shares` entries that lie width / shares apart.
template <class T>
void moved(Sizes size, const float* bias, float least, int shares, const float* z, const T* change,
           float* out) {
  const std::int64_t width = size.width, apart = width / shares;
  for (std::int64_t r = 0; r < size.groups * size.rows; ++r) {
    const float* offset = bias + r / size.rows * width;
    for (std::int64_t c = 0; c < apart; c += LANES) {
      float* to = out + r * width + c;
      Floats highest = all(-3e38f), total{};
      for (int i = 0; i < shares; ++i) {
        const Floats x = load(change + r * width + c + i * apart) + load(offset + c + i * apart);
        store(to + i * apart, x);
        highest = most(x, highest);
      }
      for (int i = 0; i < shares; ++i) {
        const Floats share = most(load(z + r * width + c + i * apart), all(least));
        const Floats x = share * exp(load(to + i * apart) - highest);
        store(to + i * apart, x);
        total += x;
      }
      for (int i = 0; i < shares; ++i) store(to + i * apart, load(to + i * apart) / total);
    }
  }
}

// The gradients of `z` and of `change` from that of what `moved` gave.
template <class T>
void moved_back(Sizes size, float least, int shares, const float* z, const float* out,
                const float* above, float* below, T* change) {
  const std::int64_t width = size.width, apart = width / shares;
  for (std::int64_t r = 0; r < size.groups * size.rows; ++r)
    for (std::int64_t c = r * width; c < r * width + apart; c += LANES) {
      Floats along{};
      for (std::int64_t i = 0; i < width; i += apart) along += load(above + c + i) * load(out + c + i);
      for (std::int64_t i = 0; i < width; i += apart) {
        const Floats x = load(out + c + i) * (load(above + c + i) - along);
        const Floats share = load(z + c + i);
        store(change + c + i, x);
        store(below + c + i, share >= least ? x / share : Floats{});
      }
    }
}

}  // namespace foresight

using foresight::Affine;
using foresight::bf16;
using foresight::Sizes;

namespace {

Affine of_group(Affine of, std::int64_t at) { return {of.bias + at, of.gain + at, of.offset + at}; }

template <int act, class T>
void norm(Sizes size, Affine of, float eps, const T* in, T* out, float* means, float* scales) {
  std::int64_t r = 0;
  for (std::int64_t group = 0; group < size.groups; ++group) {
    const Affine own = of_group(of, group * size.width);
    for (const std::int64_t end = r + size.rows; r < end; ++r)
      foresight::forward<act>(size.width, own, eps, in + r * size.width, out + r * size.width,
                              means + r, scales + r);
  }
}

template <int act, class T>
void norm_back(Sizes size, Affine of, const T* in, const float* means, const float* scales,
               const T* above, T* below, float* sums) {
  std::int64_t r = 0;
  for (std::int64_t group = 0; group < size.groups; ++group) {
    const Affine own = of_group(of, group * size.width);
    float* to = sums ? sums + 3 * group * size.width : nullptr;
    for (const std::int64_t end = r + size.rows; r < end; ++r) {
      const std::int64_t at = r * size.width;
      foresight::backward<act>(size.width, own, means[r], scales[r], in + at, above + at,
                               below + at, to);
    }
  }
}

}  // namespace

#define BY_ACTIVATION(function, ...) \
  act == foresight::RELU ? function<foresight::RELU>(__VA_ARGS__) : function<foresight::SILU>(__VA_ARGS__)

#define NORMS(NAME, T)                                                                         \
  void foresight_norm_##NAME(Sizes size, Affine of, int act, float eps, const T* in, T* out,   \
                             float* means, float* scales) {                                    \
    BY_ACTIVATION(norm, size, of, eps, in, out, means, scales);                          \
  }                                                                                            \
  void foresight_norm_back_##NAME(Sizes size, Affine of, int act, const T* in,                 \
                                  const float* means, const float* scales, const T* above,     \
                                  T* below, float* sums) {                                   \
    BY_ACTIVATION(norm_back, size, of, in, means, scales, above, below, sums);             \
  }                                                                                            \
  void foresight_moved_##NAME(Sizes size, const float* bias, float least, int shares,          \
                              const float* z, const T* change, float* out) {                   \
    foresight::moved<T>(size, bias, least, shares, z, change, out);                            \
  }                                                                                            \
  void foresight_moved_back_##NAME(Sizes size, float least, int shares, const float* z,        \
                                   const float* out, const float* above, float* below,         \
                                   T* change) {                                                \
    foresight::moved_back<T>(size, least, shares, z, out, above, below, change);               \
  }

extern "C" {
NORMS(float32, float)
NORMS(bfloat16, bf16)
}
