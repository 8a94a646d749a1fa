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

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// What every look may take: it is the price of asking a file at all.
constexpr Clock::duration quick = 2ms;
/// So much longer they may take in all before nobody waits for one any more.
constexpr Clock::duration most_held = 500ms;
/// How often the file is looked at when nobody asks.
constexpr Clock::duration look_idle = 60s;
/// How long the end waits for a look in progress.
constexpr Clock::duration last_moment = 1s;

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
    const TokenDisk disk;

    std::mutex telling;                  ///< Held while log or changed is called.
    bool gone = false;                   // Guarded by telling. Nobody is told of anything any more.

    std::mutex mutex;
    std::condition_variable to_look, has_looked;
    bool stop = false;                   // Guarded by mutex, as is what follows.
    bool ended = false;
    std::uint64_t wanted = 0;            ///< The number of the last look that somebody waits for,
    std::uint64_t begun = 0;             ///< of the last that has begun,
    std::uint64_t done = 0;              ///< and of the last whose outcome stands here.
    std::optional<Clock::time_point> looks_since;  ///< When the look in progress began.
    Clock::time_point known_since{};     ///< When the look began whose outcome stands here.
    Clock::duration held{};              ///< What looks took beyond the quick, less what has been forgiven since.
    bool slow = false;                   ///< Requests wait for no look.
    bool said_hangs = false, said_old = false;
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
        const auto now = disk.stamp_of(path);
        if (now && now == stamp) return;
        auto text = disk.read(path);
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
        auto last = Clock::now();
        while (true) {
            to_look.wait_until(lock, last + (slow ? disk.look_every : look_idle), [this] { return stop || wanted > begun; });
            if (stop) break;
            const auto number = ++begun;
            wanted = std::max(wanted, number);
            const auto since = Clock::now();
            looks_since = since;
            lock.unlock();
            look();
            lock.lock();
            const auto now = Clock::now();
            held = std::clamp<Clock::duration>(held - (now - last) / disk.one_in + std::max(now - since - quick, Clock::duration(0)),
                                               Clock::duration(0), most_held);
            if (held == most_held) slow = true;
            if (held == Clock::duration(0)) slow = false;
            done = number;
            looks_since.reset();
            known_since = since;
            if (now - since <= disk.patience) said_hangs = said_old = false;
            last = now;
            has_looked.notify_all();
        }
        ended = true;
        has_looked.notify_all();
    }

    /// Waits for a look that begins after this call, for so long at most.
    bool look_again(std::unique_lock<std::mutex>& lock, Clock::duration limit) {
        const auto mine = begun + 1;
        wanted = std::max(wanted, mine);
        to_look.notify_one();
        return has_looked.wait_for(lock, limit, [&] { return done >= mine; });
    }

    /// Has the tokens as they are or, from a disk that is slow, as they were last. False: that was too long ago.
    bool know(std::unique_lock<std::mutex>& lock) {
        if (!slow && !look_again(lock, most_held)) {
            slow = true;
            held = most_held;
        }
        const auto now = Clock::now();
        const bool hangs = looks_since && now - *looks_since > disk.patience;
        const bool old = done == 0 || (hangs && now - known_since > disk.good_for);
        std::string line;
        if (hangs && !std::exchange(said_hangs, true))
            line = "the disk of " + path + " does not answer; the access tokens that were read last count";
        if (hangs && old && !std::exchange(said_old, true))
            line = "nobody can come in: the disk of " + path + " has not answered for too long; look whether it is mounted";
        if (!line.empty() && log) {
            lock.unlock();
            log(line);
            lock.lock();
        }
        return !old;
    }
};

TokenCheck::TokenCheck(std::string path, std::function<void(std::string_view line)> log,
                       std::function<void(const Token& token, bool made)> changed, TokenDisk disk)
    : impl_(new Impl{std::move(path), std::move(log), std::move(changed), std::move(disk)}) {
    std::thread([impl = impl_] { impl->run(); }).detach();
}

TokenCheck::~TokenCheck() {
    {
        std::unique_lock lock(impl_->mutex);
        impl_->stop = true;
        impl_->to_look.notify_one();
        impl_->has_looked.wait_for(lock, last_moment, [this] { return impl_->ended; });
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
    if (!impl_->know(lock)) return std::nullopt;
    std::optional<Caller> found;
    // All of them, so that time does not tell which one it was.
    for (const auto& known : impl_->tokens)
        if (same_in_constant_time(known.hash, hash)) found = Caller{known.id, known.name, known.role};
    return found;
}

Result<std::size_t> TokenCheck::count() {
    std::unique_lock lock(impl_->mutex);
    const auto since = impl_->looks_since;
    const bool hangs = since && Clock::now() - *since > impl_->disk.patience;
    if (hangs || !impl_->look_again(lock, impl_->disk.patience))
        return Error{Errc::unavailable, "TOKEN_FILE_REFUSED", "the disk of " + impl_->path + " does not answer; look whether it is mounted"};
    if (!impl_->wrong.message.empty()) return impl_->wrong;
    return impl_->tokens.size();
}

}  // namespace jobruntime::host
