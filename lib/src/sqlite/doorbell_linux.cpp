// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/doorbell_linux.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace jobruntime::sqlite {
namespace {

using namespace std::chrono_literals;

/// Rings closer together than this become one, sent by the bell's thread.
constexpr auto debounce = 1ms;

/// A socket path may have 107 bytes; through the folder's descriptor every folder is near enough.
bool address_of(int folder, const std::string& name, sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    const int size = std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name.c_str());
    return size > 0 && static_cast<std::size_t>(size) < sizeof address.sun_path;
}

std::string new_name() {
    std::uint64_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random)
        random = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%d-%08x.bell", static_cast<int>(::getpid()), static_cast<unsigned>(random));
    return text.data();
}

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

}  // namespace

Doorbell::Doorbell(std::string folder, std::unique_ptr<Connection> reader, Duration poll,
                   std::function<void(unsigned)> heard, std::function<bool()> listening)
    : folder_path_(std::move(folder)),
      reader_(std::move(reader)),
      poll_(std::max(poll, Duration{1})),
      heard_(std::move(heard)),
      listening_(std::move(listening)),
      name_(new_name()),
      folder_(::open(folder_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      wakeup_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    sockaddr_un address;
    // Without a socket the slow poll remains; that is enough to work.
    if (!folder_ || !socket_ || !address_of(folder_.get(), name_, address) ||
        ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        socket_.reset();
    version_changed();
    // The host program's signals are none of this thread's business.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Doorbell::~Doorbell() {
    stop_ = true;
    wake();
    thread_.join();
    if (socket_) ::unlinkat(folder_.get(), name_.c_str(), 0);
}

void Doorbell::wake() noexcept {
    const std::uint64_t one = 1;
    // Only fails when the counter is full, and then it wakes as well.
    [[maybe_unused]] const auto written = ::write(wakeup_.get(), &one, sizeof one);
}

void Doorbell::refresh_peers() {
    struct stat facts {};
    if (!socket_ || ::fstat(folder_.get(), &facts) != 0) return;
    const auto changed = nanoseconds(facts.st_mtim);
    if (changed == peers_changed_ && peers_sure_) return;
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    // The kernel's time of change is coarse: another change in the same tick would look the same.
    peers_sure_ = nanoseconds(now) - changed > 50'000'000;
    peers_changed_ = changed;
    peers_.clear();
    DIR* entries = ::opendir(folder_path_.c_str());
    if (!entries) return;
    while (const dirent* entry = ::readdir(entries)) {
        const std::string_view name = entry->d_name;
        if (name.ends_with(".bell") && name != name_) peers_.emplace_back(name);
    }
    ::closedir(entries);
}

void Doorbell::send(unsigned hints) {
    const auto message = static_cast<unsigned char>(hints);
    std::erase_if(peers_, [&](const std::string& peer) {
        sockaddr_un address;
        if (!address_of(folder_.get(), peer, address)) return true;
        if (::sendto(socket_.get(), &message, 1, MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                     sizeof address) == 1)
            return false;
        if (errno != ECONNREFUSED) return errno == ENOENT;  // A full door has enough rings in it already.
        ::unlinkat(folder_.get(), peer.c_str(), 0);         // Nobody lives there any more.
        return true;
    });
    pending_ = 0;
}

void Doorbell::ring(unsigned hints) noexcept {
    if (hints == 0 || !socket_) return;
    const auto now = std::chrono::steady_clock::now();
    const std::scoped_lock lock(mutex_);
    refresh_peers();
    if (peers_.empty()) return;
    if (now - last_ring_ < debounce) {
        if (pending_ == 0) wake();
        pending_ |= hints;
        return;
    }
    last_ring_ = now;
    send(hints | pending_);
}

bool Doorbell::version_changed() {
    try {
        Query row = reader_->cached("PRAGMA data_version").query();
        if (!row.next()) return false;
        return std::exchange(version_, row.number(0)) != row.number(0);
    } catch (const Failure&) {
        return false;  // It is asked again soon.
    }
}

void Doorbell::answer_door() {
    unsigned hints = 0;
    std::array<unsigned char, 16> message{};
    for (ssize_t size = 0; (size = ::recv(socket_.get(), message.data(), message.size(), MSG_DONTWAIT)) >= 0;)
        if (size > 0) hints |= message[0];
    if (hints != 0) heard_(hints);
}

int Doorbell::timeout(SteadyTime now, SteadyTime next_poll) {
    auto wait = std::chrono::nanoseconds::max();
    if (listening_()) wait = std::max(next_poll - now, std::chrono::nanoseconds(0));
    const std::scoped_lock lock(mutex_);
    if (pending_ != 0) wait = std::min(wait, std::max(last_ring_ + debounce - now, std::chrono::nanoseconds(0)));
    if (wait == std::chrono::nanoseconds::max()) return -1;
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

void Doorbell::run() {
    std::array<pollfd, 2> doors{pollfd{wakeup_.get(), POLLIN, 0}, pollfd{socket_.get(), POLLIN, 0}};
    auto next_poll = std::chrono::steady_clock::now() + poll_;
    while (!stop_) {
        ::poll(doors.data(), socket_ ? 2 : 1, timeout(std::chrono::steady_clock::now(), next_poll));
        std::uint64_t count = 0;
        [[maybe_unused]] const auto drained = ::read(wakeup_.get(), &count, sizeof count);
        if (stop_) return;
        const auto now = std::chrono::steady_clock::now();
        {
            const std::scoped_lock lock(mutex_);
            if (pending_ != 0 && now - last_ring_ >= debounce) {
                last_ring_ = now;
                send(pending_);
            }
        }
        if (socket_) answer_door();
        if (now < next_poll) continue;
        next_poll = now + poll_;
        constexpr unsigned everything = hint_jobs | hint_cancel | hint_events | hint_records | hint_settled;
        if (listening_() && version_changed()) heard_(everything);
    }
}

}  // namespace jobruntime::sqlite
