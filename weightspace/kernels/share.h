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
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

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

  bool Unfinished() const { return next_ < count_; }

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
    begun_.push_back(&work);
    changed_.notify_all();
    lock.unlock();
    work.some_(work);
    lock.lock();
    begun_.erase(std::find(begun_.begin(), begun_.end(), &work));
    for (Work* other : std::vector<Work*>(begun_)) {
      const auto here = std::find(begun_.begin(), begun_.end(), other);
      if (here != begun_.end() && other->Unfinished()) Help(*other, lock);
    }
    changed_.wait(lock, [&] { return work.helpers_ == 0; });
  }

  // Helps until `count` threads of a run have come here, or for a while nothing
  // happens: nothing depends on it.
  void Meet(int64_t run, int64_t count) {
    using Clock = std::chrono::steady_clock;
    constexpr auto kMoment = std::chrono::microseconds(200);
    constexpr auto kWhile = std::chrono::milliseconds(100);
    std::unique_lock lock(mutex_);
    Meeting& mine = meetings_[run];
    if (mine.came == 0) mine.number = began_++;
    const int64_t number = mine.number;
    if (++mine.came >= count) {
      meetings_.erase(run);
      changed_.notify_all();
      return;
    }
    const auto complete = [&] {
      const auto found = meetings_.find(run);
      return found == meetings_.end() || found->second.number != number;
    };
    auto since = Clock::now();
    while (!complete()) {
      const auto other =
          std::find_if(begun_.begin(), begun_.end(),
                       [](const Work* work) { return work->Unfinished(); });
      if (other != begun_.end()) {
        Help(**other, lock);
        since = Clock::now();
        continue;
      }
      const auto idle = Clock::now() - since;
      if (idle > kWhile) return;
      if (idle > kMoment) {
        changed_.wait_for(lock, kWhile - idle);
        continue;
      }
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
  }

  // How often somebody helped so far.
  int64_t helped() const { return helped_; }

 private:
  struct Meeting {
    int64_t came = 0, number = 0;
  };

  void Help(Work& work, std::unique_lock<std::mutex>& lock) {
    ++work.helpers_;
    lock.unlock();
    work.some_(work);
    lock.lock();
    ++helped_;
    if (--work.helpers_ == 0) changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Work*> begun_;
  std::map<int64_t, Meeting> meetings_;  // by run, of those not complete
  int64_t began_ = 0;                    // meetings
  std::atomic<int64_t> helped_ = 0;
};

// f(next) does pieces until next() is -1; helpers call it at the same time.
template <class F>
void Share(int64_t count, F f) {
  Work work(count, [&f](Work& work) { f([&work] { return work.Next(); }); });
  Workers::All().Do(work);
}

}  // namespace weightspace
