// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "token_check.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sha256.hpp"
#include "token_file.hpp"

namespace jobruntime::host {
namespace {

/// A disk that takes longer hangs.
constexpr std::chrono::seconds patience{1};

/// Always looks at every byte, so that the time it takes tells nothing of where two texts differ.
bool same_in_constant_time(std::string_view left, std::string_view right) {
    if (left.size() != right.size()) return false;
    unsigned difference = 0;
    for (std::size_t i = 0; i < left.size(); ++i)
        difference |= static_cast<unsigned>(static_cast<unsigned char>(left[i]) ^ static_cast<unsigned char>(right[i]));
    return difference == 0;
}

}  // namespace

struct TokenCheck::Impl {
    const std::string path;
    const std::function<void(std::string_view line)> log;
    const std::function<void(const Token& token, bool made)> changed;

    std::mutex telling;                  ///< Held while log or changed is called.
    bool gone = false;                   // Guarded by telling. Nobody is told of anything any more.

    std::mutex mutex;
    std::condition_variable to_look, has_looked;
    bool stop = false;                   // Guarded by mutex, as is what follows.
    bool ended = false;
    std::uint64_t wanted = 0;            ///< The number of the last look that somebody waits for,
    std::uint64_t begun = 0;             ///< of the last that has begun,
    std::uint64_t done = 0;              ///< and of the last whose outcome stands here.
    bool hangs = false;                  ///< The last look took too long, or still does.
    std::vector<Token> tokens;
    Error wrong;                         ///< Why there are none; without a message when the file is in order.

    // The thread's own.
    std::optional<token_file::Stamp> stamp;  ///< Of the file whose tokens these are; nothing while it is not in order.
    std::optional<std::vector<Token>> read_last;  ///< As the file had them when it was last in order.
    std::string complaint;               ///< Said once, until it changes.

    void tell(const std::function<void()>& what) {
        const std::lock_guard lock(telling);
        if (!gone) what();
    }

    void tell_changes(const std::vector<Token>& before, const std::vector<Token>& now) {
        const auto has = [](const std::vector<Token>& all, const Token& one) {
            return std::ranges::any_of(all, [&](const Token& other) { return other.id == one.id && other.role == one.role; });
        };
        for (const auto& token : before)
            if (!has(now, token)) tell([&] { changed(token, false); });
        for (const auto& token : now)
            if (!has(before, token)) tell([&] { changed(token, true); });
    }

    void look() {
        const auto now = token_file::stamp_of(path);
        if (now && now == stamp) return;
        auto text = token_file::read(path);
        auto read = text ? parse_tokens(path, text->text) : Result<std::vector<Token>>(text.error());
        Error problem = read ? Error{} : read.error();
        {
            const std::lock_guard lock(mutex);
            tokens = read ? *read : std::vector<Token>{};
            wrong = problem;
        }
        stamp = read ? std::optional(text->stamp) : std::nullopt;
        if (read) {
            const auto before = std::exchange(read_last, *std::move(read));
            if (changed && before) tell_changes(*before, *read_last);
        }
        // Whoever starts is told of a file that was never in order.
        if (read_last && !problem.message.empty() && problem.message != complaint && log)
            tell([&] { log("nobody can come in: " + problem.message); });
        complaint = std::move(problem.message);
    }

    void run() {
        std::unique_lock lock(mutex);
        while (true) {
            to_look.wait(lock, [this] { return stop || wanted > begun; });
            if (stop) break;
            const auto number = ++begun;
            const auto since = std::chrono::steady_clock::now();
            lock.unlock();
            look();
            const bool slow = std::chrono::steady_clock::now() - since > patience;
            lock.lock();
            done = number;
            hangs = slow;
            has_looked.notify_all();
        }
        ended = true;
        has_looked.notify_all();
    }

    /// What a look has found that began after this call, or else the last one that came back. False: that is the latter.
    bool look_again(std::unique_lock<std::mutex>& lock) {
        const auto mine = begun + 1;
        wanted = std::max(wanted, mine);
        to_look.notify_one();
        if (hangs || !has_looked.wait_for(lock, patience, [&] { return done >= mine || hangs; })) {
            if (!std::exchange(hangs, true) && log) {
                lock.unlock();
                log("the disk of " + path + " does not answer; the access tokens that were read last count");
                lock.lock();
            }
        }
        return done >= mine;
    }
};

TokenCheck::TokenCheck(std::string path, std::function<void(std::string_view line)> log,
                       std::function<void(const Token& token, bool made)> changed)
    : impl_(new Impl{std::move(path), std::move(log), std::move(changed)}) {
    std::thread([impl = impl_] { impl->run(); }).detach();
}

TokenCheck::~TokenCheck() {
    {
        std::unique_lock lock(impl_->mutex);
        impl_->stop = true;
        impl_->to_look.notify_one();
        impl_->has_looked.wait_for(lock, patience, [this] { return impl_->ended; });
    }
    const std::lock_guard lock(impl_->telling);
    impl_->gone = true;
}

Result<void> TokenCheck::start() {
    const auto refused = [](std::string text) { return Error{Errc::invalid_argument, "TOKEN_FILE_REFUSED", std::move(text)}; };
    const auto tokens = count();
    if (!tokens && tokens.error().code == Errc::not_found)
        return refused(impl_->path + " (JOBRT_TOKEN_FILE) is not there; make it with: jobrt token create NAME --role admin");
    if (!tokens) return tokens.error();
    if (*tokens > 0) return {};
    return refused(impl_->path + " (JOBRT_TOKEN_FILE) has no token in it; make one with: jobrt token create NAME --role admin");
}

std::optional<Caller> TokenCheck::caller(std::string_view token) {
    const std::string hash = sha256(token.substr(0, 256));
    std::unique_lock lock(impl_->mutex);
    impl_->look_again(lock);
    std::optional<Caller> found;
    // All of them, so that time does not tell which one it was.
    for (const auto& known : impl_->tokens)
        if (same_in_constant_time(known.hash, hash)) found = Caller{known.id, known.name, known.role};
    return found;
}

Result<std::size_t> TokenCheck::count() {
    std::unique_lock lock(impl_->mutex);
    if (!impl_->look_again(lock))
        return Error{Errc::unavailable, "TOKEN_FILE_REFUSED", "the disk of " + impl_->path + " does not answer; look whether it is mounted"};
    if (!impl_->wrong.message.empty()) return impl_->wrong;
    return impl_->tokens.size();
}

}  // namespace jobruntime::host
