// Work that a core shares with those that are done with their own.
//
// Each of a process's devices is a core, which may be slower than another: it
// is of another kind, or others use it. All of them compute the same step, each
// for its own networks, and the slowest would decide when it ends.

#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>

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
    lock.unlock();
    work.some_(work);
    lock.lock();
    begun_.erase(place);
    std::list<Work*> others = begun_;
    while (Work* other = Unfinished(others)) {
      ++other->helpers_;
      lock.unlock();
      other->some_(*other);
      lock.lock();
      if (--other->helpers_ == 0) left_.notify_all();
    }
    left_.wait(lock, [&] { return work.helpers_ == 0; });
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

  std::mutex mutex_;
  std::condition_variable left_;
  std::list<Work*> begun_;
};

// f(next) does pieces until next() is -1, here and, at the same time, elsewhere.
template <class F>
void Share(int64_t count, F f) {
  Work work(count, [&f](Work& work) { f([&work] { return work.Next(); }); });
  Workers::All().Do(work);
}

}  // namespace weightspace
