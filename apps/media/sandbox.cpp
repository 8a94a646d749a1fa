// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sandbox.hpp"

#include <filesystem>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>

namespace jobruntime::helper {
namespace {

// The address sanitizer reserves terabytes of address space for its shadow. gcc has a macro for each sanitizer, clang a
// feature.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

void limit(decltype(RLIMIT_CPU) what, rlim_t most) {
    rlimit now{};
    if (::getrlimit(what, &now) != 0) return;
    if (now.rlim_max != RLIM_INFINITY && most > now.rlim_max) most = now.rlim_max;
    const rlimit wanted{most, most};
    ::setrlimit(what, &wanted);
}

void allow(int ruleset, const std::filesystem::path& path, std::uint64_t access) {
    if (path.empty()) return;
    landlock_path_beneath_attr rule{};
    rule.allowed_access = access;
    rule.parent_fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) return;
    ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    ::close(rule.parent_fd);
}

/// Landlock (Linux 5.13): from here on this process can read its input and write beside its
/// outputs, and open nothing else, whatever a hostile file makes libav do.
void see_only(const Request& request) {
    constexpr std::uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE;
    constexpr std::uint64_t write =
        read | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    landlock_ruleset_attr handled{};
    handled.handled_access_fs =
        write | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
        LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
        LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
    const auto ruleset =
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0));
    if (ruleset < 0) return;  // An older kernel, or switched off.
    allow(ruleset, request.input, read);
    allow(ruleset, request.audio, read);
    if (!request.output.empty()) allow(ruleset, std::filesystem::path(request.output).parent_path(), write);
    if (!request.thumbnail.empty())
        allow(ruleset, std::filesystem::path(request.thumbnail).parent_path(), write);
    ::syscall(SYS_landlock_restrict_self, ruleset, 0);
    ::close(ruleset);
}

/// No socket of any kind from here on, which an empty network namespace alone does not give (AF_VSOCK), and not every
/// kernel grants one to everybody; nor io_uring, which opens sockets by itself. A system call of another architecture
/// would be read wrongly: it ends the process.
void open_no_socket() {
#if defined(__x86_64__) || defined(__aarch64__)
#ifdef __x86_64__
    constexpr std::uint32_t here = AUDIT_ARCH_X86_64;
#else
    constexpr std::uint32_t here = AUDIT_ARCH_AARCH64;
#endif
    constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
    constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
    constexpr std::uint16_t at_least = BPF_JMP | BPF_JGE | BPF_K;
    constexpr std::uint16_t answer = BPF_RET | BPF_K;
    constexpr std::uint32_t x32 = 0x40000000;  // Further names for the same calls, on x86-64.
    std::array<sock_filter, 9> lines{{{load, 0, 0, offsetof(seccomp_data, arch)},
                                      {equal, 1, 0, here},
                                      {answer, 0, 0, SECCOMP_RET_KILL_PROCESS},
                                      {load, 0, 0, offsetof(seccomp_data, nr)},
                                      {at_least, 3, 0, x32},
                                      {equal, 2, 0, SYS_socket},
                                      {equal, 1, 0, SYS_io_uring_setup},
                                      {answer, 0, 0, SECCOMP_RET_ALLOW},
                                      {answer, 0, 0, SECCOMP_RET_ERRNO | EPERM}}};
    const sock_fprog program{static_cast<unsigned short>(lines.size()), lines.data()};
    ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#endif
}

}  // namespace

void enter(const Request& request) {
    // A closed pipe and a too large file answer as errors of write(), not as a signal.
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 64);
    limit(RLIMIT_CPU, static_cast<rlim_t>(request.cpu_seconds));
    limit(RLIMIT_FSIZE, static_cast<rlim_t>(request.file_bytes));
    if (!sanitized) limit(RLIMIT_AS, static_cast<rlim_t>(request.memory_bytes));

    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // An empty network namespace: as root directly, else through a user namespace.
    if (::unshare(CLONE_NEWNET) != 0) (void)::unshare(CLONE_NEWUSER | CLONE_NEWNET);
    if (!sanitized) see_only(request);  // The leak checker reads /proc at exit.
    open_no_socket();
}

}  // namespace jobruntime::helper
