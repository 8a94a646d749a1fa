// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/browser_impl.hpp"

#include <ctime>
#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "core/failpoint.hpp"

namespace jobruntime::extract {

using std::chrono::steady_clock;

namespace {

/// What Chromium gets to write its cookies; a browser whose pipe is closed is not waited for.
constexpr std::chrono::milliseconds close_grace{3000};

/// The same for one who has not as long; some of it in any case, or its cookies are lost.
std::chrono::milliseconds grace_until(Deadline deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    return std::clamp(left, std::chrono::milliseconds(500), close_grace);
}

}  // namespace

Browser::Impl::Impl(BrowserOptions options)
    : options_([&] {
          options.tabs = std::clamp(options.tabs, 1, 8);
          options.recycle_after = std::max(options.recycle_after, 1);
          return std::move(options);
      }()) {}

Browser::Impl::~Impl() {
    keeper_.request_stop();
    if (keeper_.joinable()) keeper_.join();
    close(close_grace);
}

void Browser::Impl::log(std::string_view line) const {
    if (options_.log) options_.log(line);
}

Result<void> Browser::Impl::ensure_engine(Lock& lock, const std::stop_token& stop) {
    busy_ = true;
    lock.unlock();
    const auto begin = steady_clock::now();
    auto launched = Engine::launch(options_, stop);
    if (launched) {
        // A browser that dies while nobody looks is reaped, and its profile freed, by the keeper.
        (*launched)->connection().on_closed([this] {
            { const Lock seen(mutex_); }  // So that the keeper is either before its look or already waiting.
            changed_.notify_all();
        });
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
        log("browser started as process " + std::to_string((*launched)->pid()) + " in " +
            std::to_string(took.count()) + " ms");
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
    if (!launched) return std::move(launched).error();
    engine_ = std::move(*launched);
    jobs_ = 0;
    ++launches_;
    last_used_ = steady_clock::now();
    if (!keeper_.joinable()) keeper_ = std::jthread([this](std::stop_token end) { keep(end); });
    return {};
}

void Browser::Impl::end_engine(Lock& lock, std::chrono::milliseconds grace, const std::stop_token& stop) {
    busy_ = true;
    auto engine = std::exchange(engine_, nullptr);
    lock.unlock();
    engine->shut(grace, stop);
    log("browser process " + std::to_string(engine->pid()) + " ended");
    engine.reset();
    lock.lock();
    busy_ = false;
    last_used_ = steady_clock::now();
    changed_.notify_all();
}

bool Browser::Impl::worn() const {
    if (!engine_) return false;
    if (!engine_->usable()) return true;
    return jobs_ >= options_.recycle_after && !JOBRT_FAILPOINT("browser.grow_old");
}

Result<Browser::Impl::Lease> Browser::Impl::acquire(Deadline deadline, const std::stop_token& stop) {
    Lock lock(mutex_);
    while (true) {
        if (stop.stop_requested()) return Error{Errc::canceled, "stopped while waiting for the browser"};
        if (!busy_) {
            const bool replaced = worn();
            if (replaced && active_ == 0) {
                // Whoever comes next ends it. One that does not answer must not hold him up beyond his own time.
                end_engine(lock, grace_until(deadline), stop);
                continue;
            }
            if (!replaced && active_ < options_.tabs) {
                if (!engine_) {
                    JR_TRY(ensure_engine(lock, stop));
                    continue;
                }
                ++active_;
                ++jobs_;
                return Lease(*this, engine_);
            }
        }
        if (steady_clock::now() >= deadline) {
            return Error{Errc::timed_out, "EXTRACTION_TIMEOUT",
                         "no tab of the browser came free in time: lower the concurrency of media jobs"};
        }
        changed_.wait_until(lock, stop, deadline, [&] {
            return !busy_ && (worn() ? active_ == 0 : active_ < options_.tabs);
        });
    }
}

void Browser::Impl::release(std::shared_ptr<Engine> engine) {
    if (engine->usable()) engine->prepare_spare();
    {
        const Lock lock(mutex_);
        --active_;
        last_used_ = steady_clock::now();
    }
    engine.reset();  // The last one to hold a browser that was closed meanwhile frees its profile.
    changed_.notify_all();
}

Result<void> Browser::Impl::start(const std::stop_token& stop) {
    auto lease = acquire(steady_clock::now() + options_.launch_timeout, stop);
    if (!lease) return std::move(lease).error();
    return {};
}

void Browser::Impl::close(std::chrono::milliseconds grace) {
    Lock lock(mutex_);
    changed_.wait(lock, [&] { return !busy_; });
    if (engine_) end_engine(lock, grace);
}

BrowserStatus Browser::Impl::status() const {
    const Lock lock(mutex_);
    BrowserStatus status;
    status.running = engine_ != nullptr && engine_->connection().alive();
    status.pid = status.running ? engine_->pid() : 0;
    status.denied = status.running ? engine_->proxy().stats().denied : 0;
    status.windows = status.running ? engine_->windows() : 0;
    status.active = active_;
    status.launches = launches_;
    return status;
}

void Browser::Impl::keep(const std::stop_token& stop) {
    Lock lock(mutex_);
    while (!stop.stop_requested()) {
        const bool idle = engine_ && active_ == 0 && !busy_;
        if (idle && (!engine_->usable() || steady_clock::now() >= last_used_ + options_.idle_close)) {
            end_engine(lock, close_grace);
            continue;
        }
        // Woken by every release, by the end of the browser's pipe, and by the end of this object.
        const auto until =
            idle ? last_used_ + options_.idle_close : steady_clock::now() + std::chrono::hours(1);
        const auto seen = last_used_;
        changed_.wait_until(lock, stop, until, [&] {
            return last_used_ != seen ||
                   (engine_ && active_ == 0 && !busy_ && !engine_->connection().alive());
        });
    }
}

Browser::Browser(BrowserOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Browser::~Browser() = default;
Result<void> Browser::start(std::stop_token stop) { return impl_->start(stop); }
void Browser::close(std::chrono::milliseconds grace) { impl_->close(grace); }
BrowserStatus Browser::status() const { return impl_->status(); }

Result<void> Browser::show(const std::vector<std::string>& pages, std::stop_token stop) {
    auto lease = impl_->acquire(std::chrono::steady_clock::now() + impl_->options().launch_timeout, stop);
    if (!lease) return std::move(lease).error();
    auto shown = lease->engine().show(pages, stop);
    if (!shown && shown.error().code == Errc::timed_out) lease->engine().condemn();
    return shown;
}

Result<void> Browser::add_cookies(const std::vector<Cookie>& cookies, std::stop_token stop) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    auto lease = impl_->acquire(deadline, stop);
    if (!lease) return std::move(lease).error();
    const auto in_thirty_days = static_cast<std::int64_t>(std::time(nullptr)) + 30LL * 86'400;
    boost::json::array list;
    for (const auto& cookie : cookies) {
        boost::json::object one{{"name", cookie.name},
                                {"value", cookie.value},
                                {"path", cookie.path},
                                {"secure", cookie.secure},
                                {"httpOnly", cookie.http_only},
                                {"expires", cookie.expires == 0 ? in_thirty_days : cookie.expires}};
        // A cookie that has a domain goes to the names below it, too; one that came from a URL does not.
        if (cookie.subdomains)
            one["domain"] = "." + cookie.domain;
        else
            one["url"] = (cookie.secure ? "https://" : "http://") + cookie.domain + cookie.path;
        list.push_back(std::move(one));
    }
    auto answer = lease->engine().connection().call("Storage.setCookies", {{"cookies", std::move(list)}}, deadline, stop);
    if (answer) return {};
    if (answer.error().code == Errc::timed_out) lease->engine().condemn();
    return std::move(answer).error();
}

}  // namespace jobruntime::extract
