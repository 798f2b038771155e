// Work that a core shares with those that are done with their own.
//
// Each of a process's devices is a core, which may be slower than another: it
// is of another kind, or others use it. All of them compute the same step, each
// for its own networks, and the slowest would decide when it ends.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace weightspace {

// Pieces of work. What a piece is must not depend on who does it.
class Work {
 public:
  Work(int64_t count, std::function<void(Work&)> some)
      : count_(count), some_(std::move(some)) {}

  // The next piece that nobody does, or -1.
  int64_t Next() {
    const int64_t piece = next_.fetch_add(1);
    return piece < count_ ? piece : -1;
  }

 private:
  friend class Workers;

  const int64_t count_;
  const std::function<void(Work&)> some_;  // does pieces until there are none
  std::atomic<int64_t> next_ = 0;
  int64_t helpers_ = 0;  // guarded by the workers' mutex
};

// The threads that do such work in this process.
class Workers {
 public:
  static Workers& All() {
    static Workers* all = new Workers;  // alive as long as any thread
    return *all;
  }

  // Does it with the help of those who have nothing else to do; helps in turn
  // with what others had begun by the time it had no more pieces itself.
  void Do(Work& work) {
    std::unique_lock lock(mutex_);
    const auto place = begun_.insert(begun_.end(), &work);
    changed_.notify_all();
    lock.unlock();
    work.some_(work);
    lock.lock();
    begun_.erase(place);
    std::list<Work*> others = begun_;
    while (Work* other = Unfinished(others)) Help(*other, lock);
    changed_.wait(lock, [&] { return work.helpers_ == 0; });
  }

  // Helps until `count` threads have come here, or for a while nothing happens:
  // nobody depends on it.
  void Meet(int64_t count) {
    using Clock = std::chrono::steady_clock;
    constexpr auto kMoment = std::chrono::microseconds(200);
    constexpr auto kWhile = std::chrono::milliseconds(100);
    std::unique_lock lock(mutex_);
    const int64_t meeting = meetings_;
    if (++came_ >= count) {
      came_ = 0;
      ++meetings_;
      changed_.notify_all();
      return;
    }
    auto since = Clock::now();
    while (meetings_ == meeting) {
      std::list<Work*> others = begun_;
      if (Work* other = Unfinished(others)) {
        Help(*other, lock);
        since = Clock::now();
        continue;
      }
      const auto idle = Clock::now() - since;
      if (idle > kWhile) {
        came_ = 0;
        return;
      }
      if (idle > kMoment) {
        changed_.wait_for(lock, kWhile - idle);
        continue;
      }
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
  }

 private:
  // One of them that is not over and has pieces that nobody does.
  Work* Unfinished(std::list<Work*>& some) {
    while (!some.empty()) {
      Work* const work = some.front();
      const bool there =
          std::find(begun_.begin(), begun_.end(), work) != begun_.end();
      if (there && work->next_ < work->count_) return work;
      some.pop_front();
    }
    return nullptr;
  }

  void Help(Work& work, std::unique_lock<std::mutex>& lock) {
    ++work.helpers_;
    lock.unlock();
    work.some_(work);
    lock.lock();
    if (--work.helpers_ == 0) changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Work*> begun_;
  int64_t came_ = 0, meetings_ = 0;
};

// f(next) does pieces until next() is -1, here and, at the same time, elsewhere.
template <class F>
void Share(int64_t count, F f) {
  Work work(count, [&f](Work& work) { f([&work] { return work.Next(); }); });
  Workers::All().Do(work);
}

}  // namespace weightspace
