// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/subprocess.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

#include "core/child_linux.hpp"
#include "core/stop_event_linux.hpp"

namespace jobruntime {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kill_patience = std::chrono::seconds(5);

Error spawn_error(Errc code, const char* name, const std::string& what, int error) {
    return Error{code, name, what + ": " + std::strerror(error)};
}

/// By number: glibc 2.36 declares pidfd_open without C linkage, so C++ cannot link it.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

bool runnable(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

Result<std::string> find_program(const SpawnOptions& options) {
    const std::string& name = options.argv.front();
    if (name.find('/') != std::string::npos) return name;
    std::string_view path = "/usr/local/bin:/usr/bin:/bin";
    for (const auto& entry : options.env)
        if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
    while (!path.empty()) {
        const auto colon = std::min(path.find(':'), path.size());
        const std::string candidate = std::string(path.substr(0, colon)) + "/" + name;
        if (colon > 0 && runnable(candidate))
            return candidate;  // An empty entry would be the working directory.
        path.remove_prefix(std::min(colon + 1, path.size()));
    }
    return Error{Errc::not_found, "PROGRAM_NOT_FOUND",
                 "the program " + name + " is not in PATH; install it or give its full path"};
}

Result<void> check(const SpawnOptions& options) {
    if (options.argv.empty() || options.argv.front().empty())
        return Error{Errc::invalid_argument, "spawn needs a program: argv is empty"};
    const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
    if (std::any_of(options.argv.begin(), options.argv.end(), has_nul) ||
        std::any_of(options.env.begin(), options.env.end(), has_nul) || has_nul(options.cwd))
        return Error{Errc::invalid_argument, "spawn cannot pass a NUL byte in argv, env or cwd"};
    std::set<int> taken;
    for (const auto& mapping : options.fds) {
        if (mapping.theirs < 3 || mapping.theirs > 1023 || !taken.insert(mapping.theirs).second)
            return Error{Errc::invalid_argument,
                         "a mapped descriptor needs a number of its own between 3 and 1023, not " +
                             std::to_string(mapping.theirs)};
        if (::fcntl(mapping.ours, F_GETFD) < 0)
            return Error{Errc::invalid_argument,
                         "descriptor " + std::to_string(mapping.ours) + " cannot be mapped: it is not open"};
    }
    return {};
}

/// The three standard streams as they will be in the child, and our ends of them.
struct Streams {
    Fd child[3];
    Fd ours[3];
};

Result<Streams> open_streams(const SpawnOptions& options) {
    Streams streams;
    const Stdio wanted[3] = {options.in, options.out, options.err};
    for (int i = 0; i < 3; ++i) {
        if (wanted[i] == Stdio::pipe) {
            auto pipe = make_pipe();
            if (!pipe) return std::move(pipe).error();
            streams.child[i] = std::move(i == 0 ? pipe->read_end : pipe->write_end);
            streams.ours[i] = std::move(i == 0 ? pipe->write_end : pipe->read_end);
            continue;
        }
        const int fd = wanted[i] == Stdio::inherit
                           ? ::fcntl(i, F_DUPFD_CLOEXEC, 3)
                           : ::open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
        if (fd < 0)
            return spawn_error(Errc::unavailable, "", "cannot open the child's standard streams", errno);
        streams.child[i] = Fd(fd);
    }
    return streams;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (const auto& text : texts) result.push_back(const_cast<char*>(text.c_str()));
    result.push_back(nullptr);
    return result;
}

Error exec_error(const core::ChildFailure& failure, const SpawnOptions& options, const std::string& program) {
    switch (failure.stage) {
        case core::ChildStage::directory:
            return spawn_error(Errc::not_found, "DIRECTORY_NOT_FOUND", "cannot enter " + options.cwd,
                               failure.error);
        case core::ChildStage::exec:
            if (failure.error == ENOENT || failure.error == ENOTDIR)
                return spawn_error(Errc::not_found, "PROGRAM_NOT_FOUND", "cannot run " + program,
                                   failure.error);
            if (failure.error == ENOMEM || failure.error == EAGAIN || failure.error == EMFILE ||
                failure.error == ENFILE)
                return spawn_error(Errc::unavailable, "", "cannot run " + program, failure.error);
            if (failure.error == E2BIG)
                return spawn_error(Errc::invalid_argument, "", "cannot run " + program, failure.error);
            return spawn_error(Errc::unsupported, "PROGRAM_NOT_EXECUTABLE", "cannot run " + program,
                               failure.error);
        case core::ChildStage::setup: break;
    }
    return spawn_error(Errc::unavailable, "", "cannot set up a process for " + program, failure.error);
}

/// Whether a process of the group is still at work. Zombies do not count: they run no code, and
/// an init that does not reap would keep them for ever. Read from /proc/<pid>/stat (proc(5)).
bool group_works(pid_t group) {
    const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
    if (!proc) return true;
    while (const dirent* entry = ::readdir(proc.get())) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        const std::string path = std::string("/proc/") + entry->d_name + "/stat";
        const Fd stat(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        char text[1024];
        const auto size = stat ? ::read(stat.get(), text, sizeof text - 1) : 0;
        if (size <= 0) continue;
        text[size] = '\0';
        const char* name_end = std::strrchr(text, ')');  // A program's name may hold anything, even ')'.
        char state = 0;
        int parent = 0;
        int its_group = 0;
        if (name_end && std::sscanf(name_end + 1, " %c %d %d", &state, &parent, &its_group) == 3 &&
            its_group == group && state != 'Z' && state != 'X')
            return true;
    }
    return false;
}

}  // namespace

std::string to_string(const ExitStatus& status) {
    if (status.signal == 0) return "exit status " + std::to_string(status.code);
    return "killed by signal " + std::to_string(status.signal) + " (" + ::strsignal(status.signal) + ")";
}

struct Subprocess::State {
    pid_t pid = -1;
    Fd pidfd;
    Fd streams[3];
    std::mutex mutex;
    bool reaped = false;  // Guarded by mutex. While false, the number `pid` is ours alone.
    std::optional<Result<ExitStatus>> status;
    std::promise<void> gone;  // Lets the keeper thread go.
    std::jthread keeper;      // The thread that forked a child which dies with its parent.

    ~State() {
        if (pid > 0) {
            signal_group(SIGKILL);
            (void)finish(steady_clock::now() + kill_patience);
        }
        gone.set_value();
    }

    void signal_group(int signal) noexcept {
        const std::lock_guard lock(mutex);
        if (!reaped) ::kill(-pid, signal);
    }

    /// Waits for the child without reaping it, kills the rest of the group while the zombie still
    /// holds the group's number, then reaps and waits until the group is empty.
    Result<ExitStatus> finish(Deadline deadline, const std::stop_token& stop = {}) {
        if (status) return *status;
        JR_TRY(core::wait_ready(pidfd.get(), POLLIN, deadline, stop));
        signal_group(SIGKILL);
        reap();
        JR_TRY(await_empty_group());
        return *status;
    }

    void reap() {
        const std::lock_guard lock(mutex);
        siginfo_t info{};
        int answer = 0;
        do answer = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
        while (answer != 0 && errno == EINTR);
        reaped = true;
        if (answer != 0)
            status = Error{
                Errc::internal,
                "the exit status of process " + std::to_string(pid) +
                    " was taken by the host program; it must not ignore SIGCHLD nor wait for any child"};
        else if (info.si_code == CLD_EXITED)
            status = ExitStatus{.code = info.si_status, .signal = 0};
        else
            status = ExitStatus{.code = 0, .signal = info.si_status};
    }

    /// SIGKILL has been sent to every member; the kernel needs a moment to end them, and offers
    /// nothing to wait on for a whole group.
    Result<void> await_empty_group() const {
        const auto deadline = steady_clock::now() + kill_patience;
        for (auto pause = milliseconds(1);; pause = std::min(pause * 2, milliseconds(50))) {
            if (::kill(-pid, 0) != 0 && errno == ESRCH) return {};
            if (pause > milliseconds(8) && !group_works(pid)) return {};
            if (steady_clock::now() >= deadline)
                return Error{Errc::timed_out,
                             "process group " + std::to_string(pid) +
                                 " survived SIGKILL for five seconds: it hangs in the kernel"};
            std::this_thread::sleep_for(pause);
        }
    }
};

Subprocess::Subprocess(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Subprocess::Subprocess(Subprocess&&) noexcept = default;
Subprocess& Subprocess::operator=(Subprocess&&) noexcept = default;
Subprocess::~Subprocess() = default;

Result<Subprocess> Subprocess::spawn(const SpawnOptions& options) {
    JR_TRY(check(options));
    auto program = find_program(options);
    if (!program) return std::move(program).error();
    auto streams = open_streams(options);
    if (!streams) return std::move(streams).error();
    auto report = make_pipe();
    if (!report) return std::move(report).error();

    std::vector<FdMapping> map = options.fds;
    for (int i = 0; i < 3; ++i) map.push_back({streams->child[i].get(), i});
    std::vector<int> moved(map.size());
    const auto argv = pointers(options.argv);
    const auto env = pointers(options.env);
    core::ChildPlan plan{.program = program->c_str(),
                         .argv = argv.data(),
                         .env = env.data(),
                         .cwd = options.cwd.empty() ? nullptr : options.cwd.c_str(),
                         .map = map,
                         .moved = moved,
                         .limits = options.limits,
                         .die_with_parent = options.die_with_parent,
                         .parent = ::getpid(),
                         .report = report->write_end.get()};

    auto state = std::make_unique<State>();
    int fork_error = 0;
    if (!options.die_with_parent) {
        state->pid = core::fork_child(plan, fork_error);
    } else {
        std::promise<void> forked;
        try {
            // It must outlive the child, whoever waits for it: the kernel sends the death signal when it
            // ends.
            state->keeper = std::jthread(
                [&plan, &fork_error, &forked, pid = &state->pid, gone = state->gone.get_future()]() mutable {
                    *pid = core::fork_child(plan, fork_error);
                    forked.set_value();
                    gone.wait();
                });
        } catch (const std::system_error&) {
            return Error{Errc::unavailable,
                         "no thread left to start " + *program + "; raise the limit (ulimit -u)"};
        }
        forked.get_future().wait();
    }
    if (state->pid < 0)
        return spawn_error(Errc::unavailable, "", "cannot start a process for " + *program, fork_error);
    state->pidfd = Fd(open_pidfd(state->pid));
    if (!state->pidfd) {
        const Error error = spawn_error(Errc::unavailable, "", "cannot watch " + *program, errno);
        ::kill(state->pid, SIGKILL);
        state->reap();
        state->pid = -1;
        return error;
    }
    for (int i = 0; i < 3; ++i) {
        state->streams[i] = std::move(streams->ours[i]);
        streams->child[i].reset();
    }
    report->write_end.reset();
    if (const auto failure = core::read_report(report->read_end.get()))
        return exec_error(*failure, options, *program);
    return Subprocess(std::move(state));
}

int Subprocess::pid() const noexcept { return state_->pid; }
Fd& Subprocess::in() noexcept { return state_->streams[0]; }
Fd& Subprocess::out() noexcept { return state_->streams[1]; }
Fd& Subprocess::err() noexcept { return state_->streams[2]; }

Result<ExitStatus> Subprocess::wait(Deadline deadline, std::stop_token stop) {
    return state_->finish(deadline, stop);
}

Result<ExitStatus> Subprocess::terminate(milliseconds grace) {
    state_->signal_group(SIGTERM);
    auto ended = state_->finish(steady_clock::now() + grace);
    if (ended || ended.error().code != Errc::timed_out || state_->status) return ended;
    state_->signal_group(SIGKILL);
    return state_->finish(steady_clock::now() + kill_patience);
}

void Subprocess::signal_group(int signal) noexcept { state_->signal_group(signal); }

}  // namespace jobruntime
