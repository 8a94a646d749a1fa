// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/sql.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace jobruntime::sqlite {
namespace {

Errc errc_of(sqlite3* db, int code) {
    switch (code & 0xff) {
        case SQLITE_FULL: return Errc::full;
        case SQLITE_IOERR: {
            if (code == SQLITE_IOERR_CORRUPTFS) return Errc::corrupt;
            const int why = db ? sqlite3_system_errno(db) : 0;
            if (why == ENOSPC || why == EDQUOT || code == SQLITE_IOERR_SHMSIZE) return Errc::full;
            return Errc::unavailable;
        }
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
        case SQLITE_PROTOCOL:
        case SQLITE_NOMEM:
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_INTERRUPT:
        case SQLITE_AUTH: return Errc::unavailable;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return Errc::corrupt;
        default: return Errc::internal;
    }
}

std::string_view remedy(Errc code) {
    switch (code) {
        case Errc::full: return "; free space on its disk";
        case Errc::unavailable: return "; try again";
        case Errc::corrupt: return "; restore it from a backup";
        default: return "";
    }
}

}  // namespace

void fail(sqlite3* db, int code, std::string_view doing) {
    const Errc errc = errc_of(db, code);
    Error error{errc, errc == Errc::full ? "STORE_FULL" : "",
                std::string(doing) + ": " + (db ? sqlite3_errmsg(db) : sqlite3_errstr(code)) +
                    std::string(remedy(errc))};
    throw Failure{std::move(error), code};
}

Statement::Statement(sqlite3* db, std::string_view sql, bool keep) {
    const int code = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()),
                                        keep ? SQLITE_PREPARE_PERSISTENT : 0, &statement_, nullptr);
    if (code != SQLITE_OK) fail(db, sqlite3_extended_errcode(db), "the database refused a statement");
}

bool Statement::Query::next() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    sqlite3* db = sqlite3_db_handle(statement_);
    fail(db, sqlite3_extended_errcode(db), "the database did not carry out a step");
}

std::string_view Statement::Query::text(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);
    if (!data) return {};
    return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::optional<Time> Statement::Query::time(int column) const {
    if (null(column)) return std::nullopt;
    return from_ms(number(column));
}

Connection Connection::open(const std::string& path, int flags, const std::string& vfs) {
    sqlite3* db = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                     vfs.empty() ? nullptr : vfs.c_str());
    if (code == SQLITE_OK) return Connection(db, true);
    Failure failure;
    try {
        fail(db, code, "the database " + path + " could not be opened");
    } catch (const Failure& caught) {
        failure = caught;
    }
    sqlite3_close(db);
    throw failure;
}

Connection::Connection(Connection&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)),
      owned_(other.owned_),
      statements_(std::move(other.statements_)),
      busy_(std::move(other.busy_)) {}

Connection::~Connection() {
    statements_.clear();
    if (owned_ && db_) sqlite3_close(db_);
}

void Connection::exec(const char* sql) {
    const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(db_, sqlite3_extended_errcode(db_), "the database did not carry out a command");
}

Statement& Connection::cached(const char* sql) {
    const auto found = statements_.find(sql);
    if (found != statements_.end()) return found->second;
    return statements_.emplace(sql, Statement(db_, sql, true)).first->second;
}

void Connection::set_busy_timeout(Duration timeout) {
    busy_->timeout = timeout;
    sqlite3_busy_handler(db_, &Connection::on_busy, busy_.get());
}

int Connection::on_busy(void* self, int tries) {
    auto& busy = *static_cast<Busy*>(self);
    const auto now = std::chrono::steady_clock::now();
    if (tries == 0) busy.since = now;
    if (now - busy.since >= busy.timeout) return 0;
    // Another process's short write is over in well under a millisecond; a long one is not worth spinning for.
    std::this_thread::sleep_for(std::min(std::chrono::microseconds(50) * (1 << std::min(tries, 6)),
                                         std::chrono::microseconds(2'000)));
    return 1;
}

}  // namespace jobruntime::sqlite
