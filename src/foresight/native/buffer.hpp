// Memory that is kept from call to call.

#pragma once

#include <cstdlib>
#include <new>

namespace foresight {

// Memory at a page's start that only grows: fresh memory costs a fault for every page.
template <class T>
class Buffer {
  T* data_ = nullptr;
  std::size_t size_ = 0;

 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr, other.size_ = 0;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  T* data() const { return data_; }

  void grow(std::size_t size) {
    constexpr std::size_t PAGE = 4096;
    if (size <= size_) return;
    std::free(data_);
    size_ = 0;
    data_ = static_cast<T*>(std::aligned_alloc(PAGE, (size * sizeof(T) + PAGE - 1) / PAGE * PAGE));
    if (!data_) throw std::bad_alloc();
    size_ = size;
  }
};

}  // namespace foresight
