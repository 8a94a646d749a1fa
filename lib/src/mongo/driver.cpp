// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/driver.hpp"

#include <algorithm>
#include <array>
#include <mutex>

namespace jobruntime::mongo {
namespace {

constexpr std::uint32_t duplicate_key = 11000;
constexpr std::uint32_t write_conflict = 112;
constexpr std::uint32_t unauthorized = 13;
constexpr std::uint32_t authentication_failed = 18;
constexpr std::uint32_t out_of_disk_space = 14031;
constexpr std::array<std::uint32_t, 2> index_conflicts{85, 86};
/// Servers on their way down, up, or out of office; time-outs; too little agreement; locks not had in time;
/// commands and cursors that somebody killed.
constexpr std::array<std::uint32_t, 28> passing{
    6,   7,   24,  43,  46,  50,  64,   79,    89,    91,    100,   112,   133,   134,
    175, 189, 202, 237, 262, 317, 384, 9001, 10107, 11600, 11601, 11602, 13435, 13436};

/// So long nobody looks for a server again that was sought in vain.
constexpr std::chrono::milliseconds told_again{250};

template <class Codes>
bool among(const Codes& codes, std::uint32_t code) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
}

bool from_server(const bson_error_t& why) {
    return why.domain == MONGOC_ERROR_SERVER || why.domain == MONGOC_ERROR_WRITE_CONCERN;
}

struct Reply {
    Reply() { bson_init(&raw); }
    Reply(const Reply&) = delete;
    ~Reply() { bson_destroy(&raw); }
    bson_t raw;
};

/// What a write of many left undone: the places of duplicates and of what is no good, and the code of the
/// first failure that has nothing to do with its document.
struct Undone {
    std::vector<std::size_t> duplicates;
    std::vector<Refused> refused;
    std::optional<std::uint32_t> other;
    bool conflicts = false;

    /// Whether what went wrong concerns single documents only.
    bool passable(const bson_t& reply) const {
        const auto weak = View(&reply).list("writeConcernErrors");
        return !other && (conflicts || !duplicates.empty() || !refused.empty()) &&
               (!weak || weak->copy().empty());
    }
};

bool concerns_all(std::uint32_t code) {
    return among(passing, code) || code == unauthorized || code == authentication_failed ||
           code == out_of_disk_space;
}

Undone undone(const bson_t& reply) {
    Undone found;
    const auto errors = View(&reply).list("writeErrors");
    if (!errors) return found;
    errors->each_doc([&](const View& one) {
        const auto code = static_cast<std::uint32_t>(one.number("code").value_or(0));
        const auto place = static_cast<std::size_t>(one.number("index").value_or(0));
        if (code == duplicate_key)
            found.duplicates.push_back(place);
        else if (code == write_conflict)
            found.conflicts = true;  // The same as a change that did not match.
        else if (!concerns_all(code))
            found.refused.push_back({place, code});
        else if (!found.other)
            found.other = code;
    });
    return found;
}

}  // namespace

void start_driver(bool quiet) {
    static std::once_flag started, silenced;
    std::call_once(started, [] { mongoc_init(); });
    // Once only, so that a handler which the host sets later stays.
    if (quiet)
        std::call_once(silenced, [] {
            mongoc_log_set_handler([](mongoc_log_level_t, const char*, const char*, void*) {}, nullptr);
        });
}

/// A connection for the time of one command.
class Server::Lease {
public:
    explicit Lease(Server& server)
        : server_(server),
          pool_(server.just_sought_in_vain() ? nullptr : server.pool()),
          client_(pool_ ? mongoc_client_pool_pop(pool_.get()) : nullptr) {}
    Lease(const Lease&) = delete;
    ~Lease() {
        if (client_) mongoc_client_pool_push(pool_.get(), client_);
    }
    explicit operator bool() const { return client_ != nullptr; }
    mongoc_client_t* client() const { return client_; }

    CollectionHandle collection(Where where) const {
        CollectionHandle collection(
            mongoc_client_get_collection(client_, server_.place_.database.c_str(), name_of(where).data()));
        // What is read here is acted on, so it must not be rolled back; what is written must stay.
        static const CHandle<mongoc_read_concern_t, mongoc_read_concern_destroy> safe_read = [] {
            CHandle<mongoc_read_concern_t, mongoc_read_concern_destroy> made(mongoc_read_concern_new());
            mongoc_read_concern_set_level(made.get(), MONGOC_READ_CONCERN_LEVEL_MAJORITY);
            return made;
        }();
        CHandle<mongoc_write_concern_t, mongoc_write_concern_destroy> safe_write(mongoc_write_concern_new());
        mongoc_write_concern_set_wmajority(safe_write.get(), server_.write_timeout_);
        mongoc_write_concern_set_journal(safe_write.get(), true);
        mongoc_collection_set_read_concern(collection.get(), safe_read.get());
        mongoc_collection_set_write_concern(collection.get(), safe_write.get());
        static const CHandle<mongoc_read_prefs_t, mongoc_read_prefs_destroy> primary(
            mongoc_read_prefs_new(MONGOC_READ_PRIMARY));
        mongoc_collection_set_read_prefs(collection.get(), primary.get());
        return collection;
    }

private:
    Server& server_;
    const std::shared_ptr<mongoc_client_pool_t> pool_;
    mongoc_client_t* const client_;
};

namespace {

std::shared_ptr<mongoc_client_pool_t> make_pool(const mongoc_uri_t* uri) {
    auto* pool = mongoc_client_pool_new(uri);
    if (!pool) return nullptr;
    mongoc_client_pool_set_error_api(pool, MONGOC_ERROR_API_VERSION_2);
    return {pool, mongoc_client_pool_destroy};
}

/// What the driver keeps to itself when it finds no server that suits: the two reasons besides the network.
std::string what_else(const mongoc_uri_t* uri) {
    std::string also;
    if (mongoc_uri_get_tls(uri))
        also += ", that it speaks TLS, and that its certificate is for this host and signed by an authority "
                "which the URI names (tlsCAFile) or this machine trusts";
    if (const char* set = mongoc_uri_get_replica_set(uri))
        also += ", and that it belongs to the replica set " + std::string(set);
    return also;
}

}  // namespace

Server::Server(Uri uri, Place place, std::int32_t write_timeout)
    : place_(std::move(place)),
      write_timeout_(write_timeout),
      uri_(std::move(uri)),
      also_(what_else(uri_.get())),
      pool_(make_pool(uri_.get())) {}

std::shared_ptr<mongoc_client_pool_t> Server::pool() {
    const std::scoped_lock lock(mutex_);
    return pool_;
}

void Server::look_up_again() {
    if (!mongoc_uri_get_srv_hostname(uri_.get())) return;
    auto fresh = make_pool(uri_.get());
    const std::scoped_lock lock(mutex_);
    pool_.swap(fresh);
}

std::string_view Server::name_of(Where where) {
    constexpr std::array<std::string_view, 4> names{"jobrt_jobs", "jobrt_log", "jobrt_sessions",
                                                    "jobrt_records"};
    return names[static_cast<std::size_t>(where)];
}

bool Server::just_sought_in_vain() const {
    const std::chrono::steady_clock::time_point last{
        std::chrono::steady_clock::duration{sought_in_vain_.load(std::memory_order_relaxed)}};
    return std::chrono::steady_clock::now() - last < told_again;
}

Error Server::does_not_answer(std::string_view doing) const {
    return {Errc::unavailable, "",
            "MongoDB at " + place_.hosts + " does not answer (" + std::string(doing) +
                "); check that it runs and can be reached" + also_};
}

Error Server::no_connection() const {
    if (just_sought_in_vain()) return does_not_answer("it did not a moment ago");
    return {Errc::unavailable,
            "all connections to MongoDB at " + place_.hosts +
                " are in use and none became free in time; raise maxPoolSize, or try again"};
}

Error Server::error(const bson_error_t& why, std::string_view doing) {
    const std::string at = "MongoDB at " + place_.hosts;
    const auto code = static_cast<std::uint32_t>(why.code);
    if (why.domain == MONGOC_ERROR_PROTOCOL && code == MONGOC_ERROR_PROTOCOL_BAD_WIRE_VERSION)
        return {Errc::unsupported, "SERVER_TOO_OLD",
                at + " speaks another protocol than this program; it needs MongoDB 4.2 or newer"};
    if ((why.domain == MONGOC_ERROR_CLIENT && code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
        (from_server(why) && code == authentication_failed))
        return {Errc::invalid_argument, "STORE_CREDENTIALS",
                at + " refused the user or the password; check both, and authSource, in the store's URI"};
    if (why.domain == MONGOC_ERROR_SERVER_SELECTION) {
        sought_in_vain_ = std::chrono::steady_clock::now().time_since_epoch().count();
        return does_not_answer(doing);
    }
    if (why.domain == MONGOC_ERROR_STREAM || why.domain == MONGOC_ERROR_PROTOCOL ||
        why.domain == MONGOC_ERROR_CLIENT) {
        auto lost = does_not_answer(doing);
        lost.name = "CONNECTION_LOST";
        return lost;
    }
    if (from_server(why) && code == unauthorized)
        return {Errc::invalid_argument, "STORE_RIGHTS",
                at + " does not let this user " + std::string(doing) + " in the database " + place_.database +
                    "; give it the role readWrite there (docs/mongodb.md)"};
    if (from_server(why) && code == out_of_disk_space)
        return {Errc::full, "STORE_FULL", at + " has no space left on its disk"};
    if (from_server(why) && among(index_conflicts, code))
        return {Errc::conflict, "STORE_INDEX",
                "an index of " + place_.text + " is in the way of the one that jobruntime needs (" +
                    std::string(doing) + "); drop it"};
    if (from_server(why) && code == duplicate_key)
        return {Errc::conflict, "DUPLICATE",
                at + " has such a document already (" + std::string(doing) + ")"};
    if (why.domain == MONGOC_ERROR_WRITE_CONCERN || (from_server(why) && among(passing, code)))
        return {Errc::unavailable, "CONNECTION_LOST",
                at + " cannot do it now (" + std::string(doing) + ", code " + std::to_string(code) +
                    "); try again"};
    return {Errc::internal,
            at + " refused to " + std::string(doing) + " (code " + std::to_string(code) + ")"};
}

Result<std::vector<Doc>> Server::find(Where where, const Look& look) {
    const Lease lease(*this);
    if (!lease) return no_connection();
    const auto collection = lease.collection(where);
    if (look.unconfirmed) {
        const CHandle<mongoc_read_concern_t, mongoc_read_concern_destroy> local(mongoc_read_concern_new());
        mongoc_read_concern_set_level(local.get(), MONGOC_READ_CONCERN_LEVEL_LOCAL);
        mongoc_collection_set_read_concern(collection.get(), local.get());
    }
    Doc options;
    if (!look.order.empty()) options.doc("sort", look.order);
    if (!look.fields.empty()) options.doc("projection", look.fields);
    if (look.limit > 0) options.number("limit", look.limit);
    if (look.skip > 0) options.number("skip", look.skip);
    const Cursor cursor(
        mongoc_collection_find_with_opts(collection.get(), look.filter.raw(), options.raw(), nullptr));
    std::vector<Doc> found;
    const bson_t* doc = nullptr;
    while (mongoc_cursor_next(cursor.get(), &doc)) found.emplace_back(doc);
    bson_error_t why;
    if (mongoc_cursor_error(cursor.get(), &why)) return error(why, "read " + std::string(name_of(where)));
    return found;
}

Result<std::vector<Doc>> Server::aggregate(Where where, const Doc& pipeline) {
    const Lease lease(*this);
    if (!lease) return no_connection();
    const auto collection = lease.collection(where);
    const Cursor cursor(
        mongoc_collection_aggregate(collection.get(), MONGOC_QUERY_NONE, pipeline.raw(), nullptr, nullptr));
    std::vector<Doc> found;
    const bson_t* doc = nullptr;
    while (mongoc_cursor_next(cursor.get(), &doc)) found.emplace_back(doc);
    bson_error_t why;
    if (mongoc_cursor_error(cursor.get(), &why)) return error(why, "count in " + std::string(name_of(where)));
    return found;
}

Result<std::vector<std::size_t>> Server::insert(Where where, std::span<const Doc> docs,
                                                std::vector<Refused>* refused) {
    if (docs.empty()) return std::vector<std::size_t>{};
    const Lease lease(*this);
    if (!lease) return no_connection();
    const auto collection = lease.collection(where);
    std::vector<const void*> raw;  // bson_t is over-aligned, which a template's argument may not be.
    raw.reserve(docs.size());
    for (const auto& doc : docs) raw.push_back(doc.raw());
    Doc options;
    options.flag("ordered", false).flag("validate", false);
    Reply reply;
    bson_error_t why;
    const bool done =
        mongoc_collection_insert_many(collection.get(), reinterpret_cast<const bson_t**>(raw.data()),
                                      raw.size(), options.raw(), &reply.raw, &why);
    const std::string doing = "write " + std::string(name_of(where));
    if (done) return std::vector<std::size_t>{};
    auto left = undone(reply.raw);
    if (refused)
        *refused = left.refused;
    else if (!left.refused.empty() && !left.other)
        left.other = left.refused.front().code;
    // One that met a conflict is not there, so the caller has to begin again.
    if (left.conflicts) bson_set_error(&why, MONGOC_ERROR_SERVER, write_conflict, " ");
    if (!left.passable(reply.raw) || left.conflicts) {
        if (left.other) bson_set_error(&why, MONGOC_ERROR_SERVER, *left.other, " ");
        return error(why, doing);
    }
    return std::move(left.duplicates);
}

Result<Updated> Server::update(Where where, std::span<const Update> updates) {
    if (updates.empty()) return Updated{};
    const Lease lease(*this);
    if (!lease) return no_connection();
    const auto collection = lease.collection(where);
    Doc options;
    options.flag("ordered", false);
    const CHandle<mongoc_bulk_operation_t, mongoc_bulk_operation_destroy> bulk(
        mongoc_collection_create_bulk_operation_with_opts(collection.get(), options.raw()));
    Doc unchecked;
    unchecked.flag("validate", false);
    bson_error_t why;
    for (const auto& [filter, change] : updates)
        if (!mongoc_bulk_operation_update_one_with_opts(bulk.get(), filter.raw(), change.raw(),
                                                        unchecked.raw(), &why))
            return Error{Errc::internal, std::string("an update could not be written down: ") + why.message};
    Reply reply;
    const auto done = mongoc_bulk_operation_execute(bulk.get(), &reply.raw, &why);
    Updated answer;
    answer.matched = static_cast<std::size_t>(View(&reply.raw).number("nMatched").value_or(0));
    if (done != 0) return answer;
    auto left = undone(reply.raw);
    if (!left.passable(reply.raw)) {
        if (left.other) bson_set_error(&why, MONGOC_ERROR_SERVER, *left.other, " ");
        return error(why, "write " + std::string(name_of(where)));
    }
    answer.duplicates = std::move(left.duplicates);
    answer.refused = std::move(left.refused);
    return answer;
}

Result<std::size_t> Server::update_all(Where where, const Doc& filter, const Doc& change) {
    const Lease lease(*this);
    if (!lease) return no_connection();
    Reply reply;
    bson_error_t why;
    if (!mongoc_collection_update_many(lease.collection(where).get(), filter.raw(), change.raw(), nullptr,
                                       &reply.raw, &why))
        return error(why, "write " + std::string(name_of(where)));
    return static_cast<std::size_t>(View(&reply.raw).number("matchedCount").value_or(0));
}

Result<std::size_t> Server::remove_all(Where where, const Doc& filter) {
    const Lease lease(*this);
    if (!lease) return no_connection();
    Reply reply;
    bson_error_t why;
    if (!mongoc_collection_delete_many(lease.collection(where).get(), filter.raw(), nullptr, &reply.raw,
                                       &why))
        return error(why, "delete in " + std::string(name_of(where)));
    return static_cast<std::size_t>(View(&reply.raw).number("deletedCount").value_or(0));
}

Result<Doc> Server::upsert(Where where, const Doc& filter, const Doc& change) {
    const Lease lease(*this);
    if (!lease) return no_connection();
    const CHandle<mongoc_find_and_modify_opts_t, mongoc_find_and_modify_opts_destroy> options(
        mongoc_find_and_modify_opts_new());
    mongoc_find_and_modify_opts_set_update(options.get(), change.raw());
    mongoc_find_and_modify_opts_set_flags(
        options.get(), static_cast<mongoc_find_and_modify_flags_t>(MONGOC_FIND_AND_MODIFY_UPSERT |
                                                                   MONGOC_FIND_AND_MODIFY_RETURN_NEW));
    Reply reply;
    bson_error_t why;
    if (!mongoc_collection_find_and_modify_with_opts(lease.collection(where).get(), filter.raw(),
                                                     options.get(), &reply.raw, &why))
        return error(why, "write " + std::string(name_of(where)));
    const auto value = View(&reply.raw).doc("value");
    if (!value)
        return Error{Errc::internal, "MongoDB at " + place_.hosts + " answered an upsert without a document"};
    return value->copy();
}

Result<Doc> Server::command(const Doc& command) {
    const Lease lease(*this);
    if (!lease) return no_connection();
    Reply reply;
    bson_error_t why;
    bson_iter_t first;
    const std::string doing =
        bson_iter_init(&first, command.raw()) && bson_iter_next(&first) ? bson_iter_key(&first) : "do that";
    if (!mongoc_client_command_simple(lease.client(), place_.database.c_str(), command.raw(), nullptr,
                                      &reply.raw, &why))
        return error(why, doing);
    return Doc(&reply.raw);
}

bool Server::watch(const std::function<void()>& changed, const std::function<bool()>& keep_on) {
    const Lease lease(*this);
    if (!lease) return false;
    List ours;
    for (const auto where : {Where::log, Where::records}) ours.text(name_of(where));
    Doc pipeline, options;
    pipeline.list(
        "pipeline",
        List().doc(Doc().doc("$match", Doc().doc("ns.coll", Doc().list("$in", ours.made())))).made());
    options.number("maxAwaitTimeMS", 200);
    const CHandle<mongoc_database_t, mongoc_database_destroy> database(
        mongoc_client_get_database(lease.client(), place_.database.c_str()));
    const ChangeStream stream(mongoc_database_watch(database.get(), pipeline.raw(), options.raw()));
    const bson_t* doc = nullptr;
    bson_error_t why;
    const bson_t* reply = nullptr;
    bool had = false;
    while (keep_on()) {
        const bool came = mongoc_change_stream_next(stream.get(), &doc);
        if (!came && mongoc_change_stream_error_document(stream.get(), &why, &reply)) return had;
        // The first answer means that the server can do it; what was written before it is looked for once.
        if (came || !had) changed();
        had = true;
    }
    return had;
}

}  // namespace jobruntime::mongo
