// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/engine.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include <unistd.h>

#include <boost/json.hpp>

#include "extract/json_access.hpp"

namespace jobruntime::extract {

namespace fs = std::filesystem;

namespace {

Error launch_failed(std::string what) {
    return {Errc::unsupported, "BROWSER_LAUNCH_FAILED", std::move(what)};
}

/// A page's renderer needs a moment even on a machine that is busy.
constexpr std::chrono::seconds check_time{10};

/// For tries that may be repeated: anything but a stop is no end yet.
Result<void> canceled_only(const Error& error) {
    return error.code == Errc::canceled ? Result<void>(error) : Result<void>();
}

bool has_display(const BrowserOptions& options) {
    return std::any_of(options.environment.begin(), options.environment.end(), [](const std::string& entry) {
        return (entry.starts_with("DISPLAY=") && entry.size() > 8) ||
               (entry.starts_with("WAYLAND_DISPLAY=") && entry.size() > 16);
    });
}

/// The last thing that Chromium said about its own end, for the message.
std::string last_words(const std::string& output) {
    std::string best;
    std::size_t begin = 0;
    while (begin < output.size()) {
        const auto end = std::min(output.find('\n', begin), output.size());
        const auto line = output.substr(begin, end - begin);
        // Noise of every start on a machine without a desktop.
        if (!line.empty() && line.find("dbus") == std::string::npos) best = line;
        begin = end + 1;
    }
    return best.substr(0, 300);
}

}  // namespace

Result<std::string> find_browser(std::string_view configured) {
    if (!configured.empty()) {
        const std::string program(configured);
        if (program.find('/') == std::string::npos || ::access(program.c_str(), X_OK) == 0) return program;
        return launch_failed("the browser program " + program +
                             " does not exist or is not executable: JOBRT_BROWSER must name one");
    }
    // The binary itself before a distribution's wrapper script, which costs the time of a dozen processes at
    // each start.
    constexpr std::array places = {"/usr/lib/chromium/chromium", "/usr/bin/chromium",
                                   "/usr/bin/chromium-browser",  "/usr/bin/google-chrome-stable",
                                   "/usr/bin/google-chrome",     "/opt/google/chrome/chrome",
                                   "/snap/bin/chromium",         "/usr/local/bin/chromium"};
    for (const char* place : places) {
        if (::access(place, X_OK) == 0) return std::string(place);
    }
    return launch_failed(
        "no Chromium was found: install it (Debian: apt-get install chromium chromium-sandbox), or name one "
        "with JOBRT_BROWSER");
}

Result<bool> goes_without_sandbox(bool asked, bool root) {
    if (root && !asked)
        return launch_failed(
            "Chromium does not run as root with its sandbox: run the worker as an ordinary user, or give up the "
            "sandbox with JOBRT_BROWSER_NO_SANDBOX=1 (pages are then only held by the user's rights, which are root's)");
    return root && asked;
}

Result<void> check_options(const BrowserOptions& options, bool root) {
    if (auto without = goes_without_sandbox(options.no_sandbox, root); !without) return std::move(without).error();
    if (!options.headless && !has_display(options)) {
        return launch_failed(
            "a visible browser (PLAYWRIGHT_HEADLESS=false) needs a display and DISPLAY is not set: start the "
            "worker "
            "in a desktop session, under xvfb-run, or set PLAYWRIGHT_HEADLESS=true");
    }
    if (options.profile_dir.empty())
        return launch_failed("the browser profile's folder is empty: set PLAYWRIGHT_USER_DATA_DIR");
    return {};
}

std::vector<std::string> browser_arguments(const BrowserOptions& options, const std::string& program,
                                           bool root, const std::string& proxy) {
    std::vector<std::string> args = {
        program,
        "--remote-debugging-pipe",
        "--user-data-dir=" + options.profile_dir,
        "--password-store=basic",  // An existing profile's cookies stay readable, and no keyring asks for a
                                   // password.
        "--no-first-run",
        "--no-default-browser-check",
        "--no-startup-window",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-default-apps",
        "--disable-extensions",
        // Its crash handlers run in sessions of their own, but leave with the browser. The flag that switches
        // them off (--disable-crashpad-for-testing) makes Chromium 156 lose navigations.
        "--disable-breakpad",
        "--disable-client-side-phishing-detection",
        "--disable-search-engine-choice-screen",
        // Of these the last two load pages of Chromium's own into each window, for an address bar that nobody
        // uses: a renderer that takes half a second of processor time when the browser starts, and stays.
        "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider,WebUIOmniboxPopup,"
        "WebUIOmniboxAimPopup",
        // On Linux the network service has no sandbox, neither in a process of its own nor in the browser's. In the
        // browser's a start needs a program less, for which its first request would wait.
        "--enable-features=NetworkServiceInProcess2",
        // Windows that nobody looks at must load and play all the same.
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        "--autoplay-policy=no-user-gesture-required",
        "--mute-audio",
        "--hide-scrollbars",
        "--noerrdialogs",
    };
    if (options.headless) args.insert(args.end(), {"--headless", "--disable-gpu"});
    if (goes_without_sandbox(options.no_sandbox, root).value_or(false)) args.emplace_back("--no-sandbox");
    // Containers often have 64 MiB there, which a page with a video fills.
    std::error_code failed;
    const auto shared = fs::space("/dev/shm", failed);
    if (failed || shared.available < (std::uintmax_t{512} << 20))
        args.emplace_back("--disable-dev-shm-usage");
    args.insert(args.end(), options.extra_args.begin(), options.extra_args.end());
    // Last, so that nothing before undoes it: all that this browser sends goes through the address guard, what
    // is for this machine included, and what cannot go through an HTTP proxy (UDP) is not sent. Of the two names
    // for WebRTC the first is the one of older Chromium, the second what 156 listens to.
    args.insert(args.end(), {"--proxy-server=" + proxy, "--proxy-bypass-list=<-loopback>", "--disable-quic",
                             "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
                             "--webrtc-ip-handling-policy=disable_non_proxied_udp", "--dns-prefetch-disable"});
    return args;
}

Result<std::unique_ptr<Engine>> Engine::launch(const BrowserOptions& options, const std::stop_token& stop) {
    const bool root = ::geteuid() == 0;
    const auto deadline = std::chrono::steady_clock::now() + options.launch_timeout;
    JR_TRY(check_options(options, root));
    auto program = find_browser(options.program);
    if (!program) return std::move(program).error();
    auto lock = ProfileLock::take(options.profile_dir, stop);
    if (!lock) return std::move(lock).error();
    auto proxy = net::Proxy::start({.allow_nets = options.allow_nets, .closed = options.offline});
    if (!proxy) return std::move(proxy).error();
    auto requests = make_pipe();
    if (!requests) return std::move(requests).error();
    auto answers = make_pipe();
    if (!answers) return std::move(answers).error();

    SpawnOptions spawn;
    spawn.argv = browser_arguments(options, *program, root, (*proxy)->address());
    spawn.env = options.environment;
    spawn.err = Stdio::pipe;
    spawn.fds = {{requests->read_end.get(), 3}, {answers->write_end.get(), 4}};
    auto process = Subprocess::spawn(spawn);
    if (!process) {
        if (process.error().code == Errc::unavailable) return std::move(process).error();
        return launch_failed("the browser " + *program + " cannot be started (" + process.error().message +
                             "): install Chromium (Debian: apt-get install chromium chromium-sandbox), or "
                             "name it with JOBRT_BROWSER");
    }
    requests->read_end.reset();
    answers->write_end.reset();
    std::unique_ptr<Engine> engine(new Engine(std::move(*lock), *std::move(proxy), std::move(*process)));
    auto connection = cdp::Connection::open(std::move(answers->read_end), std::move(requests->write_end),
                                            std::move(engine->process_.err()), cdp::Limits{});
    if (!connection) return std::move(connection).error();
    engine->connection_ = std::move(*connection);
    engine->lock_.note_browser(engine->pid_);
    JR_TRY(engine->greet(options, deadline, stop));
    return engine;
}

Result<void> Engine::greet(const BrowserOptions& options, Deadline deadline, const std::stop_token& stop) {
    spares_ = options.headless;
    connection_->on_browser_event([this](const cdp::Message& event) { note_window(event); });
    connection_->send(nullptr, {}, "Target.setDiscoverTargets", {{"discover", true}});
    // First of all, for a renderer takes longest to start: the guard is introduced in it.
    prepare_spare();
    auto version = connection_->call("Browser.getVersion", {}, deadline, stop);
    if (!version) {
        shut(std::chrono::milliseconds(0));
        if (version.error().code == Errc::canceled) return std::move(version).error();
        const auto said = last_words(connection_->error_output());
        return launch_failed("the browser ended or stayed silent at its start" +
                             (said.empty() ? std::string() : " (" + said + ")") +
                             ": run `jobrt doctor`, which tries it alone; a missing sandbox comes with "
                             "Debian's package chromium-sandbox");
    }
    user_agent_ = std::string(text_at(*version, "userAgent"));
    connection_->send(nullptr, {}, "Browser.setDownloadBehavior", {{"behavior", "deny"}});
    JR_TRY(introduce_guard(deadline, stop));
    return {};
}

/// Keeps count of windows. One that a page opened belongs to nobody here, and would stay open for ever, unless a
/// person is there.
void Engine::note_window(const cdp::Message& event) {
    const std::lock_guard lock(mutex_);
    if (event.method == "Target.targetDestroyed") {
        windows_.erase(std::string(text_at(event.params, "targetId")));
        changed_.notify_all();
    }
    if (event.method != "Target.targetCreated") return;
    const auto* info = object_at(event.params, "targetInfo");
    if (info == nullptr || text_at(*info, "type") != "page") return;
    const std::string id(text_at(*info, "targetId"));
    windows_.insert(id);
    if (for_a_person_ || text_at(*info, "openerId").empty()) return;
    connection_->send(nullptr, {}, "Target.closeTarget", {{"targetId", id}});
}

int Engine::windows() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(windows_.size());
}

Result<void> Engine::show(const std::vector<std::string>& pages, const std::stop_token& stop) {
    {
        const std::lock_guard lock(mutex_);
        for_a_person_ = true;
    }
    for (const auto& page : pages) {
        auto target = connection_->call("Target.createTarget", {{"url", page}},
                                        std::chrono::steady_clock::now() + check_time, stop);
        if (!target) return std::move(target).error();
    }
    // Answers come in the order of events: each window is known by now, unless it is closed already.
    std::unique_lock lock(mutex_);
    while (connection_->alive() && !windows_.empty()) {
        if (stop.stop_requested()) return Error{Errc::canceled, "stopped while a person used the browser"};
        // The end of the browser rings nobody here.
        changed_.wait_for(lock, stop, std::chrono::milliseconds(200), [&] { return windows_.empty(); });
    }
    lock.unlock();
    // One that a person has closed as a whole is still writing its cookies.
    if (!connection_->alive()) (void)process_.wait(std::chrono::steady_clock::now() + check_time);
    return {};
}

/// Chromium takes a proxy's credential from no command line. It is told once, when the guard asks for it, and
/// keeps it for all that the profile sends from then on: pages, workers, what has no page at all. The address
/// it opens for that lies on this machine, where a browser that went round the guard could not see it.
Result<void> Engine::introduce_guard(Deadline deadline, const std::stop_token& stop) {
    for (int attempt = 0; attempt < 3; ++attempt) {  // A renderer may crash at any time.
        JR_TRY(open_check(std::min(deadline, std::chrono::steady_clock::now() + check_time), stop));
        // The guard itself must have seen it: a browser's word is not enough.
        if (proxy_->stats().checks > 0) return {};
        if (!connection_->alive()) break;
    }
    if (!connection_->alive())
        return launch_failed("the browser ended at its start: run `jobrt doctor`, which tries it alone");
    return launch_failed(
        "the browser does not use the address guard that it was given: a policy of this machine may set another "
        "proxy (see chrome://policy, ProxySettings); jobrt opens no page without its guard");
}

/// A blank target to introduce the guard in: the spare one where there is one. Empty when none came.
std::string Engine::checking_target(Deadline deadline, const std::stop_token& stop) {
    prepare_spare();
    auto spare = take_spare();
    if (!spare) {
        auto target = connection_->call("Target.createTarget", {{"url", "about:blank"}, {"background", true}}, deadline, stop);
        return target ? std::string(text_at(*target, "targetId")) : std::string();
    }
    std::string name;
    cdp::Message message;
    while (name.empty() && spare->mailbox->pop(message, deadline, stop) == cdp::Mailbox::Got::message)
        if (message.id == spare->request) {
            name = std::string(text_at(message.params, "targetId"));
            break;
        }
    connection_->close_mailbox(spare->mailbox);
    return name;
}

/// One try; whether it worked, the guard knows.
Result<void> Engine::open_check(Deadline deadline, const std::stop_token& stop) {
    const auto name = checking_target(deadline, stop);
    if (stop.stop_requested()) return Error{Errc::canceled, "stopped while the browser started"};
    if (name.empty()) return {};
    const boost::json::object whom{{"targetId", name}};
    auto attach = whom;
    attach["flatten"] = true;
    auto attached = connection_->call("Target.attachToTarget", std::move(attach), deadline, stop);
    if (!attached) return canceled_only(attached.error());
    const std::string session(text_at(*attached, "sessionId"));
    const auto mailbox = connection_->open_mailbox();
    connection_->route(session, mailbox);
    const auto tell = [&](std::string_view method, boost::json::object params) {
        return connection_->send(mailbox, session, method, std::move(params));
    };
    tell("Fetch.enable", {{"handleAuthRequests", true}});
    const auto visit = tell("Page.navigate", {{"url", proxy_->check_url()}});
    auto got = cdp::Mailbox::Got::message;
    bool asked = false;
    cdp::Message message;
    while ((got = mailbox->pop(message, deadline, stop)) == cdp::Mailbox::Got::message && message.id != visit &&
           message.method != "Target.detachedFromTarget") {
        const boost::json::object which{{"requestId", text_at(message.params, "requestId")}};
        if (message.method == "Fetch.requestPaused") tell("Fetch.continueRequest", which);
        if (message.method != "Fetch.authRequired") continue;
        auto answer = which;
        const auto* challenge = object_at(message.params, "authChallenge");
        const bool ours = challenge != nullptr && text_at(*challenge, "origin") == proxy_->address();
        answer["authChallengeResponse"] =
            ours && !std::exchange(asked, true)
                ? boost::json::object{{"response", "ProvideCredentials"},
                                      {"username", proxy_->user()},
                                      {"password", proxy_->password()}}
                : boost::json::object{{"response", "CancelAuth"}};
        tell("Fetch.continueWithAuth", std::move(answer));
    }
    connection_->close_mailbox(mailbox);
    // The guard answers without content, so the target is still blank: as good as new once nobody is attached to it.
    if (spares_ && got == cdp::Mailbox::Got::message && message.id == visit && proxy_->stats().checks > 0) {
        connection_->send(nullptr, {}, "Target.detachFromTarget", {{"sessionId", session}});
        const std::lock_guard lock(mutex_);
        spare_ = Spare{connection_->open_mailbox(), 0, name};
    } else {
        connection_->send(nullptr, {}, "Target.closeTarget", whom);
    }
    if (got == cdp::Mailbox::Got::stopped) return Error{Errc::canceled, "stopped while the browser started"};
    return {};
}

void Engine::prepare_spare() {
    if (!spares_) return;
    const std::lock_guard lock(mutex_);
    if (spare_) return;
    Spare spare{connection_->open_mailbox(), 0, {}};
    spare.request = connection_->send(spare.mailbox, {}, "Target.createTarget",
                                      {{"url", "about:blank"}, {"newWindow", true}});
    spare_ = std::move(spare);
}

std::optional<Engine::Spare> Engine::take_spare() {
    const std::lock_guard lock(mutex_);
    return std::exchange(spare_, std::nullopt);
}

void Engine::shut(std::chrono::milliseconds grace, const std::stop_token& stop) {
    if (std::exchange(shut_, true)) return;
    if (grace.count() > 0 && connection_ != nullptr && connection_->alive()) {
        const auto deadline = std::chrono::steady_clock::now() + grace;
        connection_->send(nullptr, {}, "Browser.close", {});
        if (process_.wait(deadline, stop)) return;
    }
    // What ignores SIGTERM is killed with its whole group; the Subprocess waits until it is gone.
    [[maybe_unused]] const auto ended = process_.terminate(grace.count() > 0 ? std::chrono::milliseconds(1000)
                                                                             : std::chrono::milliseconds(0));
}

Engine::~Engine() { shut(std::chrono::milliseconds(0)); }

}  // namespace jobruntime::extract
