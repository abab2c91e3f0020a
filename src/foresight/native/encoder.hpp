// The frozen encoder: what `foresight.perception.native_trunk` calls.
//
// The same function as `trunk.Trunk`: products in bfloat16, the residual stream in fp32. Three
// things make it faster than a sequence of operations. Numbers stay where the tile unit wants them
// from one product to the next. Norms, rotation and GELU work on a block just multiplied while the
// next one is under way. And a chunk of rows goes through attention, projection and MLP while it
// lies in the core's own cache.

#pragma once

#include <atomic>
#include <barrier>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "group.hpp"

namespace foresight {

constexpr int GROUP = 256;  // rows that go through all layers together, or one clip with more

// What a group needs, kept from call to call.
struct Room {
  Table table;
  std::vector<Desk> desks;
};

class Rooms {
  std::mutex lock_;
  std::vector<std::unique_ptr<Room>> free_;

 public:
  std::unique_ptr<Room> take() {
    std::lock_guard<std::mutex> guard(lock_);
    if (free_.empty()) return std::make_unique<Room>();
    std::unique_ptr<Room> room = std::move(free_.back());
    free_.pop_back();
    return room;
  }

  void give(std::unique_ptr<Room> room) {
    std::lock_guard<std::mutex> guard(lock_);
    free_.push_back(std::move(room));
  }
};

inline Rooms& rooms() {
  static Rooms* all = new Rooms;  // never destroyed: a thread may end after the program's end began
  return *all;
}

struct Call {
  Model model;
  const std::uint8_t* frames;  // of all clips, or null where there are tokens
  const float* tokens;
  float* out;
  int clips, clip_tokens;

  int together() const { return std::max(1, GROUP / (blocks_of(clip_tokens) * SIDE)); }
  int groups() const { return (clips + together() - 1) / together(); }
};

// One thread's part of a group; meet() is called where it needs what others made.
template <class Meet>
void run(const Call& call, int index, Room& room, int thread, int threads, Meet meet) {
  const Tiles tiles;
  const Sizes& sizes = call.model.sizes;
  const int first = index * call.together();
  const int clips = std::min(call.together(), call.clips - first);
  const std::size_t token = static_cast<std::size_t>(first) * call.clip_tokens;
  Group group(call.model, clips, call.clip_tokens, room.table);
  const Desk& desk = room.desks[thread];

  const int blocks = group.row_blocks();
  const int chunk = std::clamp((blocks + threads - 1) / threads, 1, CHUNK);
  const auto chunks = [&](auto act) {
    for (int begin = thread * chunk; begin < blocks; begin += threads * chunk)
      act(begin, std::min(blocks, begin + chunk));
  };
  chunks([&](int begin, int end) {
    if (call.frames)
      group.embed(call.frames + token * sizes.patch_bytes(), begin, end, desk);
    else
      group.read(call.tokens + token * sizes.dim, begin, end);
  });
  for (int layer = 0; layer < sizes.depth; ++layer) {
    chunks([&](int begin, int end) { group.project(layer, begin, end, desk); });
    meet();
    chunks([&](int begin, int end) { group.mix(layer, begin, end, desk); });
    meet();
  }
  chunks([&](int begin, int end) { group.write(call.out + token * sizes.dim, begin, end); });
}

// Rooms of a call, given back at its end.
class Borrowed {
  std::vector<std::unique_ptr<Room>> rooms_;

 public:
  Borrowed(const Call& call, int rooms, int desks) {
    for (int i = 0; i < rooms; ++i) {
      rooms_.push_back(foresight::rooms().take());
      Room& room = *rooms_.back();
      if (static_cast<int>(room.desks.size()) < desks) room.desks.resize(desks);
      room.table.prepare(call.model.sizes, call.together(), call.clip_tokens);
      for (int desk = 0; desk < desks; ++desk)
        room.desks[desk].prepare(call.model.sizes, call.clip_tokens);
    }
  }
  ~Borrowed() {
    for (auto& room : rooms_) rooms().give(std::move(room));
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  Room& operator[](int index) { return *rooms_[index]; }
};

// act(0) to act(threads - 1) at once.
template <class Act>
void at_once(int threads, Act act) {
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(act, thread);
  act(0);
  for (std::thread& other : others) other.join();
}

inline void encode(const Call& call, int threads) {
  const int groups = call.groups();
  if (threads == 1 || groups % threads == 0 || groups > 4 * threads) {  // each its own groups
    Borrowed room(call, threads, 1);
    std::atomic<int> next{0};
    at_once(threads, [&](int thread) {
      for (int index = next++; index < groups; index = next++)
        run(call, index, room[thread], 0, 1, [] {});
    });
    return;
  }
  Borrowed room(call, 1, threads);
  std::barrier meeting(threads);
  at_once(threads, [&](int thread) {
    for (int index = 0; index < groups; ++index) {
      run(call, index, room[0], thread, threads, [&] { meeting.arrive_and_wait(); });
      meeting.arrive_and_wait();
    }
  });
}

}  // namespace foresight
