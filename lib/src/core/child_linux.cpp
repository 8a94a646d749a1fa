// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/child_linux.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "core/sanitizers.hpp"

namespace jobruntime::core {
namespace {

[[noreturn]] void give_up(int report, ChildStage stage) {
    const ChildFailure failure{stage, errno};
    [[maybe_unused]] const auto written = ::write(report, &failure, sizeof failure);
    ::_exit(127);
}

/// Default actions for everything: ignored signals would survive exec.
void reset_handlers() {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
}

bool limit(decltype(RLIMIT_AS) what, const std::optional<std::uint64_t>& value,
           std::uint64_t hard_above = 0) {
    if (!value) return true;
    struct rlimit before {};
    if (::getrlimit(what, &before) != 0) return false;
    const rlim_t hard =
        std::min<rlim_t>(*value + hard_above, before.rlim_max);  // RLIM_INFINITY is the largest.
    const struct rlimit wanted { std::min<rlim_t>(*value, hard), hard };
    return ::setrlimit(what, &wanted) == 0;
}

bool apply_limits(const ResourceLimits& limits) {
    // CPU time gets a hard limit one second later, so that SIGXCPU comes before SIGKILL.
    return limit(RLIMIT_AS, limits.address_space_bytes) && limit(RLIMIT_CPU, limits.cpu_seconds, 1) &&
           limit(RLIMIT_FSIZE, limits.file_size_bytes) && limit(RLIMIT_NOFILE, limits.open_files) &&
           limit(RLIMIT_CORE, 0);
}

/// Everything above stderr closes at exec; what is wanted is marked otherwise by dup2 later.
void close_all_at_exec() {
    if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
    struct rlimit open {};  // Linux before 5.11, or a sandbox that does not know the call.
    ::getrlimit(RLIMIT_NOFILE, &open);
    const int last = static_cast<int>(std::min<rlim_t>(open.rlim_cur, 65'536));
    for (int fd = 3; fd < last; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/// Closes what is not the child's now, and not only when its program begins: locks on files of the host would be held as
/// long as a slow disk keeps chdir or execve. `report` is above all that the child gets.
void close_others(const ChildPlan& plan, int report) {
    for (int first = 3; first <= report;) {
        int kept = report;
        for (const auto& mapping : plan.map)
            if (mapping.theirs >= first) kept = std::min(kept, mapping.theirs);
        if (kept > first) ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(kept - 1), 0);
        first = kept + 1;
    }
    ::close_range(static_cast<unsigned>(report + 1), ~0U, 0);
}

/// First out of the way, then to their places: a source may hold another's target number.
bool place_descriptors(const ChildPlan& plan, int& report) {
    int above = 20;
    for (const auto& mapping : plan.map) above = std::max(above, mapping.theirs + 1);
    report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, above);
    if (report < 0) {
        report = plan.report;
        return false;
    }
    for (std::size_t i = 0; i < plan.map.size(); ++i)
        if ((plan.moved[i] = ::fcntl(plan.map[i].ours, F_DUPFD_CLOEXEC, above)) < 0) return false;
    close_all_at_exec();
    for (std::size_t i = 0; i < plan.map.size(); ++i)
        if (::dup2(plan.moved[i], plan.map[i].theirs) < 0) return false;
    close_others(plan, report);
    return true;
}

[[noreturn]] void run_child(const ChildPlan& plan) {
    int report = plan.report;
    reset_handlers();
    if (::setpgid(0, 0) != 0) give_up(report, ChildStage::setup);
    if (plan.die_with_parent) {
        if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(report, ChildStage::setup);
        if (::getppid() != plan.parent) ::_exit(127);  // It died before we asked for the signal.
    }
    if (!place_descriptors(plan, report)) give_up(report, ChildStage::setup);
    if (plan.cwd && ::chdir(plan.cwd) != 0) give_up(report, ChildStage::directory);
    if (!apply_limits(plan.limits)) give_up(report, ChildStage::setup);
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    ::execve(plan.program, plan.argv, plan.env);
    give_up(report, ChildStage::exec);
}

/// Without what fork() does besides for a child that goes on as this program does: handlers of whoever registered some,
/// the allocator's locks. Ours only makes system calls until its program begins, and neither may hold that up.
pid_t plain_fork() {
    if constexpr (in_thread_sanitizer) return ::fork();  // The sanitizer has to know of it.
    return ::_Fork();
}

}  // namespace

pid_t fork_child(const ChildPlan& plan, int& error) {
    // No handler of the host may run in the child before reset_handlers: it would act on the
    // host's own pipes and files. The keeper thread keeps them blocked, which is right as well:
    // the host's signals are not for it. But a SIGCHLD that nobody handles is thrown away only where the thread that
    // has forked does not block it; else it wakes another, whose recv() with a time-out or epoll_wait() then gives EINTR.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    struct sigaction at_death {};
    ::sigaction(SIGCHLD, nullptr, &at_death);
    if (at_death.sa_handler == SIG_DFL) sigdelset(&all, SIGCHLD);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t child = plain_fork();
    if (child == 0) run_child(plan);
    error = errno;
    if (child > 0) ::setpgid(child, child);  // Both sides do it, so that neither has to wait for the other.
    if (!plan.die_with_parent) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return child;
}

std::optional<ChildFailure> read_report(int fd) {
    ChildFailure failure;
    ssize_t got = 0;
    do got = ::read(fd, &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    if (got == static_cast<ssize_t>(sizeof failure)) return failure;
    return std::nullopt;
}

}  // namespace jobruntime::core
