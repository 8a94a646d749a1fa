// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace etiquette {

/// What `fd` is open on, for people; empty when it is not open.
inline std::string target_of(int fd) {
    std::array<char, 512> text{};
    const auto size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text.data(), text.size() - 1);
    return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

/// The same, and of a socket of which kind it is.
inline std::string kind_of(int fd) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return target_of(fd);
    int type = 0;
    socklen_t type_size = sizeof type;
    (void)::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size);
    if (name.ss_family == AF_INET6 && type == SOCK_DGRAM) return "an IPv6 datagram socket";
    if (name.ss_family != AF_UNIX) return "a network socket";
    return size > sizeof(sa_family_t) ? "a named local socket" : "an unnamed local socket";
}

inline std::set<int> open_files() {
    std::set<int> found;
    DIR* entries = ::opendir("/proc/self/fd");
    if (!entries) return found;
    while (const dirent* entry = ::readdir(entries))
        if (const int fd = std::atoi(entry->d_name); entry->d_name[0] != '.' && fd != ::dirfd(entries)) found.insert(fd);
    ::closedir(entries);
    return found;
}

/// Everything of a process that is its program's own business.
struct State {
    std::array<struct sigaction, NSIG> actions{};
    sigset_t mask{};
    std::string umask;
    std::string folder;
    std::string locale;
    std::terminate_handler terminate = nullptr;
    std::new_handler no_memory = nullptr;
    std::map<int, std::string> files;

    static State now() {
        State state;
        for (int signal = 1; signal < NSIG; ++signal)
            ::sigaction(signal, nullptr, &state.actions[static_cast<std::size_t>(signal)]);
        ::pthread_sigmask(SIG_SETMASK, nullptr, &state.mask);
        std::ifstream status("/proc/self/status");
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("Umask:")) state.umask = line;
        status.close();
        std::array<char, 4096> folder{};
        if (::getcwd(folder.data(), folder.size())) state.folder = folder.data();
        state.locale = std::setlocale(LC_ALL, nullptr);
        state.terminate = std::get_terminate();
        state.no_memory = std::get_new_handler();
        for (const int fd : open_files()) {
            auto target = target_of(fd);
            const bool watched = target.starts_with("/proc/") && target.ends_with("/fd");  // By a FileWatch, just now.
            if (!target.empty() && !watched) state.files[fd] = std::move(target);
        }
        return state;
    }
};

/// What of `before` is not so any more, in words.
inline std::vector<std::string> changes(const State& before, const State& after) {
    std::vector<std::string> found;
    for (int signal = 1; signal < NSIG; ++signal) {
        const auto& one = before.actions[static_cast<std::size_t>(signal)];
        const auto& other = after.actions[static_cast<std::size_t>(signal)];
        if (one.sa_handler != other.sa_handler || one.sa_flags != other.sa_flags)
            found.push_back("the action of signal " + std::to_string(signal));
        if (sigismember(&before.mask, signal) != sigismember(&after.mask, signal))
            found.push_back("signal " + std::to_string(signal) + " in the mask");
    }
    if (before.umask != after.umask) found.push_back("umask");
    if (before.folder != after.folder) found.push_back("working directory");
    if (before.locale != after.locale) found.push_back("locale");
    if (before.terminate != after.terminate) found.push_back("terminate handler");
    if (before.no_memory != after.no_memory) found.push_back("new handler");
    for (const auto& [fd, target] : after.files)
        if (!before.files.contains(fd)) found.push_back("open file " + target);
    for (const auto& [fd, target] : before.files)
        if (!after.files.contains(fd)) found.push_back("closed file " + target);
    return found;
}

/// Looks all the time for files that a program started just now would inherit.
class FileWatch {
public:
    explicit FileWatch(std::set<int> known) : known_(std::move(known)), thread_([this](std::stop_token stop) {
        // The pause leaves the processor to what is watched; nothing waits for it.
        for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::microseconds(200))) look();
    }) {}

    void look() {
        for (const int fd : open_files()) {
            if (known_.contains(fd)) continue;
            const auto opened = target_of(fd);
            const int flags = ::fcntl(fd, F_GETFD);
            if (flags < 0 || (flags & FD_CLOEXEC)) continue;
            auto target = kind_of(fd);
            // Another file has its number by now, or none.
            if (opened.empty() || target_of(fd) != opened) continue;
            const std::lock_guard lock(mutex_);
            ++seen_[std::move(target)];
        }
        const std::lock_guard lock(mutex_);
        ++looks_;
    }
    /// What was seen, and how often.
    std::map<std::string, int> inheritable() const {
        const std::lock_guard lock(mutex_);
        return seen_;
    }
    int looks() const {
        const std::lock_guard lock(mutex_);
        return looks_;
    }

private:
    const std::set<int> known_;
    mutable std::mutex mutex_;
    std::map<std::string, int> seen_;  // Guarded by mutex_, as is looks_.
    int looks_ = 0;
    std::jthread thread_;
};

/// stderr goes into a pipe as long as this lives.
class ErrorPipe {
public:
    ErrorPipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
        read_end_ = ends[0];
        before_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[1]);
    }
    ErrorPipe(const ErrorPipe&) = delete;
    ~ErrorPipe() {
        ::dup2(before_, STDERR_FILENO);
        ::close(before_);
        ::close(read_end_);
    }
    /// All that was written since the last call.
    std::string text() {
        std::string all;
        std::array<char, 4096> piece{};
        while (true) {
            const auto size = ::read(read_end_, piece.data(), piece.size());
            if (size <= 0) return all;
            all.append(piece.data(), static_cast<std::size_t>(size));
        }
    }

private:
    int read_end_ = -1;
    int before_ = -1;
};

/// A child of the host's own: it ends with 7 when it is told to.
class OwnChild {
public:
    OwnChild() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::close(ends[1]);
            char nothing = 0;
            while (::read(ends[0], &nothing, 1) < 0 && errno == EINTR) {}
            ::_exit(7);
        }
        ::close(ends[0]);
        go_ = ends[1];
    }
    OwnChild(const OwnChild&) = delete;
    ~OwnChild() {
        let_end();
        if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    }
    void let_end() {
        if (go_ >= 0) ::close(std::exchange(go_, -1));
    }
    /// Waits until it has ended, and leaves its status for later.
    bool has_ended() const {
        siginfo_t facts{};
        int code = 0;
        while ((code = ::waitid(P_PID, static_cast<id_t>(pid_), &facts, WEXITED | WNOWAIT)) < 0 && errno == EINTR) {}
        return code == 0;
    }
    /// Its exit code; -1 when somebody else took it.
    int status() {
        int raw = 0;
        pid_t got = 0;
        while ((got = ::waitpid(pid_, &raw, 0)) < 0 && errno == EINTR) {}
        const bool mine = got == pid_ && WIFEXITED(raw);
        pid_ = -1;
        return mine ? WEXITSTATUS(raw) : -1;
    }

private:
    pid_t pid_ = -1;
    int go_ = -1;
};

}  // namespace etiquette
