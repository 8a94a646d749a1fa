// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/api_router.hpp>
#include <jobruntime/result.hpp>

#include "token_file.hpp"
#include "tokens.hpp"

namespace jobruntime::host {

/// How the file is reached, which tests replace, and what is thought of it.
struct TokenDisk {
    std::function<std::optional<token_file::Stamp>(const std::string& path)> stamp_of = token_file::stamp_of;
    std::function<Result<token_file::Contents>(const std::string& path)> read = token_file::read;
    std::chrono::milliseconds look_every{1'000}; ///< While nobody waits for a look.
    int one_in = 40;                             ///< The part of all time that looks may take before nobody does.
    std::chrono::milliseconds patience{5'000};   ///< A look that takes longer hangs.
    std::chrono::milliseconds good_for{600'000}; ///< How old tokens may be while one hangs; then nobody can come in.
};

/// Says whose token it is, by the file as it is at that moment: made, replaced and revoked tokens count at once, and a
/// file that is missing or broken lets nobody in. Thread-safe.
///
/// A thread of its own looks at the file, and whoever asks waits for its next look. Those are the threads that serve all
/// clients, so none waits for longer than half a second, nor when looks took more than a fortieth of the time of late (a
/// share over a network): then the tokens of the last look count, and there is one each second. When a look does not come
/// back they count for TokenDisk::good_for.
class TokenCheck {
public:
    /// `log` and `changed` are called from that thread; `changed` is told of each token that has come or gone since the file
    /// was read last, and must be quick.
    TokenCheck(std::string path, std::function<void(std::string_view line)> log,
               std::function<void(const Token& token, bool made)> changed = {}, TokenDisk disk = {});
    /// Waits for the look in progress for a second at most; one that hangs ends by itself and tells nobody.
    ~TokenCheck();
    /// Refuses a file that is missing, broken, or empty: nobody could ever come in.
    Result<void> start();
    std::optional<Caller> caller(std::string_view token);
    /// How many tokens the file has now; waits for it for TokenDisk::patience. Errors as read_tokens(); Errc::unavailable when
    /// its disk does not answer.
    Result<std::size_t> count();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;  ///< Shared with the thread, which may hang for longer than we live.
};

}  // namespace jobruntime::host
