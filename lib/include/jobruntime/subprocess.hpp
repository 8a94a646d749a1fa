// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>

// Child processes for handlers: a browser, a helper, an external command. Linux only.
//
// What it promises: no shell, ever; the child gets exactly the environment, the working
// directory and the descriptors it was given, default signal handling and an empty signal
// mask; it leads a process group of its own, and that group never outlives its Subprocess.
// The library sets no signal handler, reaps nothing but its own child, and writing to a dead
// child is an error value, never SIGPIPE.
namespace jobruntime {

/// A moment on the steady clock at which waiting ends. `forever` never comes.
using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline forever = Deadline::max();

/// Owns one file descriptor; -1 = none. Every descriptor of this header is close-on-exec.
class JOBRUNTIME_API Fd {
public:
    Fd() = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~Fd() { reset(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;

private:
    int fd_ = -1;
};

struct Pipe {
    Fd read_end;
    Fd write_end;
};
/// A pipe for FdMapping, e.g. Chromium's on 3 and 4. Errc::unavailable when the process has
/// no descriptor left.
JOBRUNTIME_API Result<Pipe> make_pipe();

/// What one of the child's standard streams is connected to.
enum class Stdio {
    null,     ///< /dev/null
    pipe,     ///< A pipe; our end is Subprocess::in(), out() or err().
    inherit,  ///< The caller's own stream.
};

/// The child sees our descriptor `ours` under the number `theirs`. The caller keeps `ours`
/// and closes it after the spawn, or the other end never sees an end of file.
struct FdMapping {
    int ours = -1;
    int theirs = -1;  ///< 3 to 1023; 0, 1 and 2 belong to the standard streams.
};

/// Limits of the child (setrlimit); unset = as the parent's. Core dumps are always off.
struct ResourceLimits {
    std::optional<std::uint64_t>
        address_space_bytes;                       ///< RLIMIT_AS. Not for Chromium: it reserves terabytes.
    std::optional<std::uint64_t> cpu_seconds;      ///< RLIMIT_CPU: SIGXCPU, a second later SIGKILL.
    std::optional<std::uint64_t> file_size_bytes;  ///< RLIMIT_FSIZE: SIGXFSZ when a file grows beyond it.
    std::optional<std::uint64_t> open_files;       ///< RLIMIT_NOFILE.
};

struct SpawnOptions {
    /// The program and its arguments, never empty. A name without '/' is looked up in the PATH
    /// of `env`, else in /usr/local/bin:/usr/bin:/bin.
    std::vector<std::string> argv;
    std::vector<std::string> env;  ///< "NAME=value"; the whole environment of the child.
    std::string cwd;               ///< Working directory; empty = the parent's.
    Stdio in = Stdio::null;
    Stdio out = Stdio::null;
    Stdio err = Stdio::null;
    std::vector<FdMapping> fds;
    ResourceLimits limits;
    /// SIGKILL the child when this process dies, however it dies (PR_SET_PDEATHSIG). Linux
    /// ties that to the *thread* that forked, so each such child is forked by a small thread of
    /// its own that lives as long as its Subprocess: handler threads may come and go. It reaches
    /// the child itself, not its children, and is lost when the child runs a set-uid program.
    bool die_with_parent = true;
};

/// How a child ended.
struct ExitStatus {
    int code = 0;    ///< Exit code, when `signal` is 0.
    int signal = 0;  ///< The signal that killed it, or 0.
    bool success() const noexcept { return code == 0 && signal == 0; }
    bool operator==(const ExitStatus&) const = default;
};
/// For people: "exit status 3", "killed by signal 9 (Killed)".
JOBRUNTIME_API std::string to_string(const ExitStatus& status);

/// One child process and its group. The object belongs to one thread at a time; only
/// signal_group() may be called beside another call. Its pipes may be read and written by
/// other threads, each by one at a time, as long as the object lives.
class JOBRUNTIME_API Subprocess {
public:
    /// Starts a child and returns once it runs its program (exec has succeeded).
    /// Errc::invalid_argument: empty argv, a NUL byte, a descriptor that is not open or mapped twice;
    /// Errc::not_found, PROGRAM_NOT_FOUND (also when a script's interpreter is missing) or
    /// DIRECTORY_NOT_FOUND; Errc::unsupported, PROGRAM_NOT_EXECUTABLE: no permission, or not a program;
    /// Errc::unavailable: no more processes, threads, descriptors or memory.
    static Result<Subprocess> spawn(const SpawnOptions& options);

    Subprocess(Subprocess&&) noexcept;
    Subprocess& operator=(Subprocess&&) noexcept;
    /// SIGKILLs the whole group when it still lives and waits until it is gone (a few
    /// milliseconds; at most five seconds for a process that hangs inside the kernel).
    ~Subprocess();

    /// The child's process id, which is also the id of its group; no longer its own after wait().
    int pid() const noexcept;

    Fd& in() noexcept;   ///< Write end of its stdin, when Stdio::pipe. `in().reset()` is end of file.
    Fd& out() noexcept;  ///< Read end of its stdout, when Stdio::pipe.
    Fd& err() noexcept;  ///< Read end of its stderr, when Stdio::pipe.

    /// Blocks until the child has ended; what is left of its group is then killed, and gone
    /// when this returns. Called again, it answers the same. Somebody must read the child's
    /// pipes meanwhile, or a child that fills one (64 KiB) never ends.
    /// Errc::timed_out at `deadline`, Errc::canceled within milliseconds of `stop`: the child goes on.
    /// Errc::internal when the host program took the exit status away (SIGCHLD ignored, wait for any child).
    Result<ExitStatus> wait(Deadline deadline = forever, std::stop_token stop = {});

    /// SIGTERM to the group, up to `grace` for the child to end, then SIGKILL to the group;
    /// returns when no process of the group is left. A child that has ended already: its status.
    /// Errc::timed_out when something survives SIGKILL for five seconds (it hangs in the kernel).
    Result<ExitStatus> terminate(std::chrono::milliseconds grace);

    /// Sends a signal to the group; nothing happens when it is gone. Thread-safe.
    void signal_group(int signal) noexcept;

private:
    struct State;
    explicit Subprocess(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

/// Writes all of `data`, as the reader takes it. Never raises SIGPIPE.
/// Errc::unavailable, PIPE_CLOSED when the reader is gone; Errc::timed_out; Errc::canceled.
JOBRUNTIME_API Result<void> write_all(int fd, std::string_view data, Deadline deadline = forever,
                                      std::stop_token stop = {});

struct LineLimits {
    std::size_t max_line = std::size_t{1} << 20;    ///< Bytes of one line.
    std::size_t max_total = std::size_t{16} << 20;  ///< Bytes of all lines together; 0 = no limit.
    char delimiter = '\n';                          ///< '\0' for Chromium's pipe.
};

/// Reads lines from a pipe, within limits and time. Does not own the descriptor. One thread.
class JOBRUNTIME_API LineReader {
public:
    explicit LineReader(int fd, LineLimits limits = {}) : fd_(fd), limits_(limits) {}

    /// The next line without its delimiter, or nothing at the end of file; a last line without
    /// delimiter counts. Lines that were read already are handed out even after `stop`.
    /// Errc::full, OUTPUT_TOO_LARGE beyond a limit (and at every later call); Errc::timed_out; Errc::canceled
    /// within milliseconds of `stop`; Errc::unavailable when reading fails.
    Result<std::optional<std::string>> next(Deadline deadline = forever, std::stop_token stop = {});

private:
    std::optional<std::string> take_line();
    Result<void> fill(Deadline deadline, const std::stop_token& stop);

    int fd_;
    LineLimits limits_;
    std::string buffer_;
    std::size_t begin_ = 0;    // Where the first line not yet handed out begins in buffer_.
    std::size_t scanned_ = 0;  // No delimiter in buffer_ between begin_ and here.
    std::size_t total_ = 0;
    bool at_end_ = false;
};

/// Everything until the end of file. Errors as LineReader::next; Errc::full beyond `max_bytes`.
JOBRUNTIME_API Result<std::string> read_all(int fd, std::size_t max_bytes, Deadline deadline = forever,
                                            std::stop_token stop = {});

}  // namespace jobruntime
