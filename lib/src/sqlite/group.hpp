// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <vector>

#include <jobruntime/sqlite.hpp>

#include "sqlite/operation.hpp"
#include "sqlite/files_linux.hpp"
#include "sqlite/turnstile.hpp"
#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {

/// Carries out groups of operations on the store's one writing connection, each group one transaction as
/// durable as its most demanding member.
class GroupExecutor {
public:
    GroupExecutor(std::unique_ptr<Connection> connection, std::string source, Turnstile turnstile, Ballast ballast,
                  std::string folder, const Options& options);

    /// Never throws: every operation has its error set, or none. Answers with hints of what happened.
    unsigned execute(std::vector<Operation*>& group) noexcept;
    Writer& writer() { return writer_; }
    void close_in_child() { turnstile_.close_in_child(); }

private:
    using Group = std::vector<Operation*>;
    std::optional<Error> attempt(const Group& group);
    std::optional<Error> transaction(const Group& group);
    void execute_or_throw(const Group& group);
    void after_full_disk(const Group& group, const Error& error);
    bool room_to_grow();
    void set_durable(bool durable);
    void roll_back() noexcept;

    std::unique_ptr<Connection> connection_;
    Writer writer_;
    Turnstile turnstile_;
    Ballast ballast_;
    std::string folder_;
    Durability durability_;
    Duration busy_timeout_;
    std::uint64_t free_floor_;
    bool durable_now_ = true;  ///< How PRAGMA synchronous stands.
    unsigned hints_ = 0;
};

}  // namespace jobruntime::sqlite
