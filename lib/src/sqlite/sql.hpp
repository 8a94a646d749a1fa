// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <sqlite3.h>

#include <jobruntime/clock.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::sqlite {

/// Thrown inside this component only, when SQLite refuses; caught where a verb ends (combiner, reader,
/// transaction) and handed on as its Error. A statement in the middle of a transaction has no sensible
/// way on, and the code of the verbs stays readable.
struct Failure {
    Error error;
    int code = 0;  ///< SQLite's extended result code; 0 = not SQLite's.
};

/// Throws the Failure that fits what just went wrong on this connection.
[[noreturn]] void fail(sqlite3* db, int code, std::string_view doing);

/// A sixteen-byte id or other bytes, bound without a copy.
struct Bytes {
    const void* data;
    std::size_t size;
};
template <class Tag>
Bytes bytes(const Id<Tag>& id) {
    return {id.bytes.data(), id.bytes.size()};
}

inline std::int64_t ms(Time time) { return time.time_since_epoch().count(); }
inline Time from_ms(std::int64_t value) { return Time{Duration{value}}; }

/// A prepared statement. Bound texts and bytes must live until the query over it ends.
class Statement {
public:
    Statement(sqlite3* db, std::string_view sql, bool keep);
    Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
    Statement(const Statement&) = delete;
    ~Statement() { sqlite3_finalize(statement_); }

    /// One use of the statement: binds, steps row by row, and resets at its end.
    class Query {
    public:
        explicit Query(sqlite3_stmt* statement) : statement_(statement) {}
        Query(const Query&) = delete;
        ~Query() { sqlite3_reset(statement_); }
        bool next();
        bool null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
        std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
        double real(int column) const { return sqlite3_column_double(statement_, column); }
        std::string_view text(int column) const;
        std::optional<Time> time(int column) const;
        template <class AnyId>
        AnyId id(int column) const {
            AnyId id;
            const auto raw = text(column);
            if (raw.size() == id.bytes.size()) std::memcpy(id.bytes.data(), raw.data(), raw.size());
            return id;
        }

    private:
        sqlite3_stmt* statement_;
    };

    template <class... Args>
    Query query(const Args&... args) {
        int at = 0;
        (bind(++at, args), ...);
        return Query(statement_);
    }
    /// For a statement without rows.
    template <class... Args>
    void run(const Args&... args) {
        auto query_now = query(args...);
        while (query_now.next()) {}
    }

    void bind(int at, std::nullptr_t) { sqlite3_bind_null(statement_, at); }
    void bind(int at, std::int64_t value) { sqlite3_bind_int64(statement_, at, value); }
    void bind(int at, std::uint64_t value) { sqlite3_bind_int64(statement_, at, static_cast<std::int64_t>(value)); }
    void bind(int at, int value) { sqlite3_bind_int(statement_, at, value); }
    void bind(int at, double value) { sqlite3_bind_double(statement_, at, value); }
    void bind(int at, Time time) { bind(at, ms(time)); }
    void bind(int at, Bytes value) {
        sqlite3_bind_blob64(statement_, at, value.data, value.size, SQLITE_STATIC);
    }
    void bind(int at, std::string_view text) {
        sqlite3_bind_text64(statement_, at, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    template <class T>
    void bind(int at, const std::optional<T>& value) {
        if (value)
            bind(at, *value);
        else
            bind(at, nullptr);
    }

private:
    sqlite3_stmt* statement_ = nullptr;
};
using Query = Statement::Query;

/// The text, or NULL for an empty one.
inline std::optional<std::string_view> or_null(std::string_view text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

/// One connection, its own or a borrowed one, with its statements kept. For one thread at a time.
class Connection {
public:
    /// Opens a file; flags are SQLite's. `vfs` empty = the default one.
    static Connection open(const std::string& path, int flags, const std::string& vfs);
    /// Statements on somebody else's connection.
    static Connection borrow(sqlite3* db) { return Connection(db, false); }
    Connection(Connection&& other) noexcept;
    Connection& operator=(Connection&&) = delete;
    ~Connection();

    sqlite3* raw() const { return db_; }
    void exec(const char* sql);
    /// The statement of this literal, prepared once. The address is the key, so literals only.
    Statement& cached(const char* sql);
    Statement prepare(std::string_view sql) { return Statement(db_, sql, false); }
    /// Waits for other connections' locks this long, looking often at first.
    void set_busy_timeout(Duration timeout);
    int changes() const { return sqlite3_changes(db_); }

private:
    Connection(sqlite3* db, bool owned) : db_(db), owned_(owned) {}
    struct Busy {
        Duration timeout{0};
        SteadyTime since{};
    };
    static int on_busy(void* self, int tries);

    sqlite3* db_;
    bool owned_;
    std::unordered_map<const char*, Statement> statements_;
    std::unique_ptr<Busy> busy_ = std::make_unique<Busy>();
};

}  // namespace jobruntime::sqlite
