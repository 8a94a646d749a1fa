// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/group.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

#include "core/failpoint.hpp"

namespace jobruntime::sqlite {
namespace {

Error full_disk() {
    return {Errc::full, "STORE_FULL", "the disk of the store is full, so no new jobs are taken; free some space"};
}

}  // namespace

GroupExecutor::GroupExecutor(std::unique_ptr<Connection> connection, std::string source, Turnstile turnstile,
                             Ballast ballast, std::string folder, const Options& options)
    : connection_(std::move(connection)),
      writer_(*connection_, std::move(source)),
      turnstile_(std::move(turnstile)),
      ballast_(std::move(ballast)),
      folder_(std::move(folder)),
      durability_(options.durability),
      busy_timeout_(options.busy_timeout),
      free_floor_(options.free_floor_bytes) {
    connection_->exec("PRAGMA synchronous = FULL");
}

unsigned GroupExecutor::execute(Group& group) noexcept {
    hints_ = 0;
    try {
        execute_or_throw(group);
    } catch (const Failure& failure) {
        for (auto* operation : group) operation->error = failure.error;
    } catch (const std::exception& error) {
        for (auto* operation : group) operation->error = Error{Errc::internal, error.what()};
    }
    return hints_;
}

void GroupExecutor::execute_or_throw(const Group& group) {
    const bool grows = std::any_of(group.begin(), group.end(), [](auto* operation) { return operation->grows; });
    if (grows && !room_to_grow()) return after_full_disk(group, full_disk());
    const auto error = attempt(group);
    if (!error) return;
    if (error->code == Errc::full) return after_full_disk(group, *error);
    const bool by_one_of_them = error->code == Errc::internal || error->code == Errc::invalid_argument;
    if (!by_one_of_them || group.size() == 1) {
        for (auto* operation : group) operation->error = error;
        return;
    }
    for (auto* operation : group) operation->error = attempt({operation});
}

/// New jobs are refused; what ends jobs or removes them may use the reserve.
void GroupExecutor::after_full_disk(const Group& group, const Error& error) {
    if (!JOBRT_FAILPOINT("control.no_ballast")) ballast_.release();
    Group rest;
    for (auto* operation : group) {
        if (operation->grows)
            operation->error = error;
        else
            rest.push_back(operation);
    }
    if (rest.empty()) return;
    writer_.may_wipe(false);
    const auto still = attempt(rest);
    writer_.may_wipe(true);
    for (auto* operation : rest) operation->error = still;
}

bool GroupExecutor::room_to_grow() {
    if (!ballast_.there() && !ballast_.build()) return false;
    return free_floor_ == 0 || free_bytes(folder_) >= free_floor_;
}

std::optional<Error> GroupExecutor::attempt(const Group& group) {
    if (!turnstile_.enter(std::chrono::steady_clock::now() + busy_timeout_)) {
        return Error{JOBRT_FAILPOINT("control.hide_holder") ? Errc::internal : Errc::unavailable,
                     "the store is held by another process that does not go on; see whether one is stopped, and try again"};
    }
    auto error = transaction(group);
    turnstile_.leave();
    return error;
}

std::optional<Error> GroupExecutor::transaction(const Group& group) {
    try {
        set_durable(durability_ == Durability::full &&
                    std::any_of(group.begin(), group.end(), [](auto* operation) { return operation->durable; }));
        writer_.sql("BEGIN IMMEDIATE").run();
        writer_.start();
        for (auto* operation : group) operation->run();
        writer_.finish();
        if (JOBRT_FAILPOINT("sqlite.before_commit"))
            throw Failure{{Errc::unavailable, "the commit failed, as a test asked"}};
        writer_.sql("COMMIT").run();
        static_cast<void>(JOBRT_FAILPOINT("sqlite.after_commit"));
        writer_.committed();
        hints_ |= writer_.take_hints();
        return std::nullopt;
    } catch (const Failure& failure) {
        roll_back();
        return failure.error;
    } catch (const std::exception& error) {
        roll_back();
        return Error{Errc::internal, error.what()};
    }
}

void GroupExecutor::set_durable(bool durable) {
    if (durable == durable_now_) return;
    connection_->exec(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    durable_now_ = durable;
}

void GroupExecutor::roll_back() noexcept {
    // SQLite has done so itself after some errors.
    if (!sqlite3_get_autocommit(connection_->raw()))
        sqlite3_exec(connection_->raw(), "ROLLBACK", nullptr, nullptr, nullptr);
    writer_.rolled_back();
}

}  // namespace jobruntime::sqlite
