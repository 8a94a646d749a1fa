// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mongoc/mongoc.h>

#include <jobruntime/mongo.hpp>

#include "mongo/bson.hpp"

namespace jobruntime::mongo {

/// Owns a C handle: CHandle<mongoc_cursor_t, mongoc_cursor_destroy>.
template <class T, auto close>
struct Closer {
    void operator()(T* handle) const noexcept { close(handle); }
};
template <class T, auto close>
using CHandle = std::unique_ptr<T, Closer<T, close>>;

using Uri = CHandle<mongoc_uri_t, mongoc_uri_destroy>;
using Cursor = CHandle<mongoc_cursor_t, mongoc_cursor_destroy>;
using CollectionHandle = CHandle<mongoc_collection_t, mongoc_collection_destroy>;
using ChangeStream = CHandle<mongoc_change_stream_t, mongoc_change_stream_destroy>;

/// Once a process: libmongoc's own beginning, and its log handler when that is wanted.
void start_driver(bool quiet);

/// The driver's form of a URI, with what this store insists on; `place` is filled in.
Result<Uri> read_uri(std::string_view text, const Options& options, Place& place);

/// One change of one document.
struct Update {
    Doc filter;
    Doc change;
};

/// One of many writes that the server does not take, whatever becomes of the others: its document would grow
/// past 16 MiB, a hand has given a field another form, …
struct Refused {
    std::size_t place = 0;
    std::uint32_t code = 0;
};

struct Updated {
    std::size_t matched = 0;              ///< A total only; which ones they were must be read again.
    std::vector<std::size_t> duplicates;  ///< Those that would have broken a unique index.
    std::vector<Refused> refused;
};

/// The four collections of one database, by way of a pool of connections. Thread-safe.
///
/// Errors: Errc::unavailable means that the command may or may not have been done. After one, each verb looks
/// before it repeats. Codes decide, never texts.
class Server {
public:
    enum class Where { jobs, log, sessions, records };

    /// `write_timeout` in milliseconds.
    Server(Uri uri, Place place, std::int32_t write_timeout);

    struct Look {
        Doc filter{};
        Doc order{};
        Doc fields{};   ///< A projection; empty = all.
        int limit = 0;  ///< 0 = all.
        int skip = 0;   ///< So many of the first are left out.
        /// Also what the primary has and a majority has not confirmed yet: to be explained, never acted on.
        bool unconfirmed = false;
    };
    Result<std::vector<Doc>> find(Where where, const Look& look);
    Result<std::vector<Doc>> aggregate(Where where, const Doc& pipeline);
    /// In no order. Answers with the places of those that are there already by some unique index. Without
    /// `refused` one that the server does not take is an error.
    Result<std::vector<std::size_t>> insert(Where where, std::span<const Doc> docs,
                                            std::vector<Refused>* refused = nullptr);
    Result<Updated> update(Where where, std::span<const Update> updates);
    Result<std::size_t> update_all(Where where, const Doc& filter, const Doc& change);
    Result<std::size_t> remove_all(Where where, const Doc& filter);
    /// The document as it is afterwards. Errc::conflict with the name DUPLICATE when `filter` finds nothing
    /// and what would be made is there already.
    Result<Doc> upsert(Where where, const Doc& filter, const Doc& change);
    Result<Doc> command(const Doc& command);

    /// Calls `changed` whenever the log or the records may have changed, until `keep_on` says no, which is
    /// asked often. False, at once: the server has no change streams or does not answer.
    bool watch(const std::function<void()>& changed, const std::function<bool()>& keep_on);

    const Place& place() const { return place_; }
    /// How long a write may be on the primary before a majority has it, and reads see it.
    std::chrono::milliseconds write_timeout() const { return std::chrono::milliseconds(write_timeout_); }
    static std::string_view name_of(Where where);
    /// A mongodb+srv name that could not be looked up is not looked up again by the driver: begins anew.
    void look_up_again();

private:
    class Lease;

    std::shared_ptr<mongoc_client_pool_t> pool();

    Error error(const bson_error_t& why, std::string_view doing);
    Error no_connection();
    Error does_not_answer(std::string_view when) const;
    /// Somebody has just looked for a server as long as one looks, and there was none: whoever comes right behind
    /// would wait as long again, one command after the other.
    bool just_sought_in_vain() const;

    const Place place_;
    const std::int32_t write_timeout_;
    const Uri uri_;
    const std::string also_;  ///< What else to check when no server answers.
    std::atomic<std::chrono::steady_clock::rep> sought_in_vain_{0};  ///< When the last such search ended.
    std::mutex mutex_;
    std::shared_ptr<mongoc_client_pool_t> pool_;  // Guarded by mutex_; what it points to is thread-safe.
};
using Where = Server::Where;

}  // namespace jobruntime::mongo
