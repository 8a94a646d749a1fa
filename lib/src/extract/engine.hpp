// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <jobruntime/extract.hpp>
#include <jobruntime/subprocess.hpp>

#include "extract/cdp.hpp"
#include "extract/profile_lock.hpp"
#include "net/proxy.hpp"

namespace jobruntime::extract {

/// The command line for these options; `proxy` is http://host:port of the address guard. Pure.
std::vector<std::string> browser_arguments(const BrowserOptions& options, const std::string& program,
                                           bool root, const std::string& proxy);
/// Whether these options can start a browser at all, by the rules for root and for displays. Pure.
Result<void> check_options(const BrowserOptions& options, bool root);

/// One running Chromium: its process, its pipe, its profile's lock, and the address guard through which it
/// reaches the network, with a credential of its own. Never restarted: a new one replaces it.
class Engine {
public:
    static Result<std::unique_ptr<Engine>> launch(const BrowserOptions& options, const std::stop_token& stop);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    cdp::Connection& connection() noexcept { return *connection_; }
    const std::string& user_agent() const noexcept { return user_agent_; }
    int pid() const noexcept { return pid_; }
    const net::Proxy& proxy() const noexcept { return *proxy_; }

    /// To be replaced as soon as nobody uses it.
    void condemn() noexcept { condemned_ = true; }
    bool usable() const { return !condemned_ && connection_->alive(); }
    /// Whether a target asked for its page. One that never did may have been unlucky; of two in a row, the browser is broken.
    void note_start(bool asked) noexcept {
        if (asked)
            deaf_targets_ = 0;
        else if (++deaf_targets_ == 2)
            condemn();
    }

    /// A blank target, or one being made, ahead of the next extraction, which takes it.
    struct Spare {
        std::shared_ptr<cdp::Mailbox> mailbox;
        std::int64_t request = 0;  ///< Its answer names the target.
        std::string target;        ///< Not empty: it is there already.
    };
    void prepare_spare();
    std::optional<Spare> take_spare();
    /// Windows and tabs that are open now, the spare one among them.
    int windows() const;
    /// Opens a tab for each page, for a person, and returns when none is open any more or the browser has ended.
    /// Windows that pages open stay from then on. Errc::canceled, unavailable.
    Result<void> show(const std::vector<std::string>& pages, const std::stop_token& stop);

    /// Browser.close, up to `grace` or `stop`; SIGTERM, one second; SIGKILL. No process is left afterwards.
    void shut(std::chrono::milliseconds grace, const std::stop_token& stop = {});

private:
    Engine(ProfileLock lock, std::unique_ptr<net::Proxy> proxy, Subprocess process)
        : lock_(std::move(lock)), proxy_(std::move(proxy)), process_(std::move(process)), pid_(process_.pid()) {}
    Result<void> greet(const BrowserOptions& options, Deadline deadline, const std::stop_token& stop);
    Result<void> introduce_guard(Deadline deadline, const std::stop_token& stop);
    Result<void> open_check(Deadline deadline, const std::stop_token& stop);
    std::string checking_target(Deadline deadline, const std::stop_token& stop);
    void note_window(const cdp::Message& event);

    ProfileLock lock_;  // First: released only when the process is gone.
    std::unique_ptr<net::Proxy> proxy_;
    Subprocess process_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::set<std::string> windows_;  // Guarded by mutex_, as below.
    bool for_a_person_ = false;
    std::optional<Spare> spare_;
    std::unique_ptr<cdp::Connection> connection_;  // After all that its thread uses.
    const int pid_;
    std::string user_agent_;
    bool spares_ = false;
    bool shut_ = false;
    std::atomic<bool> condemned_ = false;
    std::atomic<int> deaf_targets_ = 0;
};

}  // namespace jobruntime::extract
