// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/profile_lock.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jobruntime/extract.hpp>

#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace fs = std::filesystem;

namespace {

/// Who holds, or last held, the profile: "<host> <pid> <browser pid>".
struct Holder {
    std::string host;
    int pid = 0;
    int browser = 0;
};

std::string host_name() {
    char name[256] = {};
    return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

int to_pid(std::string_view text) {
    int value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    return failed == std::errc{} && end == text.data() + text.size() && value > 0 ? value : 0;
}

Holder read_holder(int fd) {
    char buffer[512];
    const auto got = ::pread(fd, buffer, sizeof buffer, 0);
    std::string_view text(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
    const auto next = [&] {
        const auto word = text.substr(0, text.find_first_of(" \n"));
        text.remove_prefix(std::min(text.size(), word.size() + 1));
        return word;
    };
    Holder holder;
    holder.host = std::string(next());
    holder.pid = to_pid(next());
    holder.browser = to_pid(next());
    return holder;
}

void write_holder(int fd, int browser) {
    const auto text = host_name() + " " + std::to_string(::getpid()) + " " + std::to_string(browser) + "\n";
    // What the file says is a courtesy to people and to the next holder; the lock is what counts.
    if (::ftruncate(fd, 0) == 0) [[maybe_unused]]
        const auto written = ::pwrite(fd, text.data(), text.size(), 0);
}

/// Whether `pid` is a browser at work. Process ids are used again, so an unrelated program does not count.
bool is_live_browser(int pid) {
    if (::kill(pid, 0) != 0 && errno != EPERM) return false;
    std::error_code failed;
    const auto program = fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", failed);
    if (failed)
        return failed != std::errc::no_such_file_or_directory;  // Another user's process hides its name.
    return lower(program.filename().string()).find("chrom") != std::string::npos;
}

/// Chromium's SingletonLock is a symbolic link to "<host>-<pid>".
std::optional<Holder> chromium_mark(const std::string& profile) {
    std::error_code failed;
    const auto target = fs::read_symlink(profile + "/SingletonLock", failed);
    if (failed) return std::nullopt;
    const auto text = target.string();
    const auto dash = text.rfind('-');
    Holder holder;
    if (dash == std::string::npos) return holder;
    holder.host = text.substr(0, dash);
    holder.pid = to_pid(std::string_view(text).substr(dash + 1));
    return holder;
}

void remove_marks(const std::string& profile) {
    std::error_code ignored;
    // The socket lies in a temporary folder of Chromium's own, which a killed browser leaves behind.
    const auto socket = fs::read_symlink(profile + "/SingletonSocket", ignored);
    const auto folder = socket.parent_path();
    const auto name = folder.filename().string();
    if (name.starts_with("org.chromium.Chromium.") || name.starts_with(".org.chromium.Chromium.")) {
        for (const char* file : {"SingletonSocket", "SingletonCookie"}) fs::remove(folder / file, ignored);
        fs::remove(folder, ignored);  // Only when empty.
    }
    for (const char* file : {"SingletonLock", "SingletonSocket", "SingletonCookie"})
        fs::remove(fs::path(profile) / file, ignored);
}

Error launch_failed(const std::string& what) { return {Errc::unsupported, "BROWSER_LAUNCH_FAILED", what}; }

/// Our lock is held; now nobody else's browser may be on the profile.
Result<void> heed_chromium(const std::string& profile, const Holder& last, const std::stop_token& stop) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    while (const auto mark = chromium_mark(profile)) {
        const bool here = mark->host == host_name();
        const bool ours = last.browser != 0 && mark->pid == last.browser && mark->host == last.host;
        // Whoever started it held our lock and is dead; its browser leaves when the pipe closes, also on a
        // host of another name.
        if ((here && (mark->pid == 0 || !is_live_browser(mark->pid))) || (ours && !here)) {
            remove_marks(profile);
            return {};
        }
        if (!ours || std::chrono::steady_clock::now() >= give_up) {
            return Error{
                Errc::conflict, "BROWSER_PROFILE_IN_USE",
                "the browser profile " + profile + " is in use by another program (" +
                    (here ? "process " + std::to_string(mark->pid) : "on the host " + mark->host) +
                    "): close that browser, or name another PLAYWRIGHT_USER_DATA_DIR" +
                    (here ? ""
                          : "; when no browser runs there any more, remove " + profile + "/SingletonLock")};
        }
        if (stop.stop_requested())
            return Error{Errc::canceled, "stopped while waiting for the browser profile"};
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return {};
}

}  // namespace

Result<ProfileLock> ProfileLock::take(const std::string& profile, const std::stop_token& stop) {
    std::error_code failed;
    fs::create_directories(profile, failed);
    if (failed || ::chmod(profile.c_str(), 0700) != 0) {
        return launch_failed("the browser profile " + profile + " cannot be made (" +
                             (failed ? failed.message() : std::strerror(errno)) +
                             "): PLAYWRIGHT_USER_DATA_DIR must name a folder of your own");
    }
    const auto path = profile + "/.jobrt.lock";
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        return launch_failed("the lock file " + path + " cannot be opened (" + std::strerror(errno) + ")");
    const auto last = read_holder(file.get());
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return launch_failed("the lock file " + path + " cannot be locked (" + std::strerror(errno) +
                                 ")");
        return Error{Errc::unavailable, "BROWSER_PROFILE_IN_USE",
                     "the browser profile " + profile + " is in use by another jobrt (process " +
                         std::to_string(last.pid) +
                         "): it comes free when that one is idle, or give each worker its own with %i in "
                         "PLAYWRIGHT_USER_DATA_DIR"};
    }
    JR_TRY(heed_chromium(profile, last, stop));
    write_holder(file.get(), 0);
    return ProfileLock(std::move(file));
}

void ProfileLock::note_browser(int pid) const { write_holder(file_.get(), pid); }

}  // namespace jobruntime::extract
