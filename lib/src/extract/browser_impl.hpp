// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include <jobruntime/extract.hpp>

#include "extract/engine.hpp"

namespace jobruntime::extract {

/// The rules of sharing: who gets a tab, when a browser starts, is replaced, is closed.
class Browser::Impl {
public:
    explicit Impl(BrowserOptions options);
    ~Impl();

    /// One tab's right to be, as long as it lives.
    class Lease {
    public:
        Lease(Impl& owner, std::shared_ptr<Engine> engine) : owner_(&owner), engine_(std::move(engine)) {}
        Lease(Lease&& other) noexcept
            : owner_(std::exchange(other.owner_, nullptr)), engine_(std::move(other.engine_)) {}
        Lease& operator=(Lease&&) = delete;
        ~Lease() {
            if (owner_ != nullptr) owner_->release(std::move(engine_));
        }
        Engine& engine() const noexcept { return *engine_; }

    private:
        Impl* owner_;
        std::shared_ptr<Engine> engine_;
    };

    /// Waits for a free tab, starts a browser when there is none. Errc::timed_out, EXTRACTION_TIMEOUT at
    /// `deadline`.
    Result<Lease> acquire(Deadline deadline, const std::stop_token& stop);
    Result<void> start(const std::stop_token& stop);
    void close(std::chrono::milliseconds grace);
    BrowserStatus status() const;
    const BrowserOptions& options() const noexcept { return options_; }

private:
    using Lock = std::unique_lock<std::mutex>;
    /// The browser is to be replaced before it works again.
    bool worn() const;
    Result<void> ensure_engine(Lock& lock, const std::stop_token& stop);
    void end_engine(Lock& lock, std::chrono::milliseconds grace, const std::stop_token& stop = {});
    void release(std::shared_ptr<Engine> engine);
    void keep(const std::stop_token& stop);
    void log(std::string_view line) const;

    const BrowserOptions options_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    // shared_ptr: close() may end a browser that extractions still hold.
    std::shared_ptr<Engine> engine_;  // Guarded by mutex_, as all below.
    bool busy_ = false;               // Somebody starts or ends a browser with the mutex released.
    int active_ = 0;
    int jobs_ = 0;  // Of the present engine.
    int launches_ = 0;
    std::chrono::steady_clock::time_point last_used_{};
    std::jthread keeper_;  // Last. Started with the first browser: closes idle ones, reaps dead ones.
};

}  // namespace jobruntime::extract
