// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/codes.hpp"
#include "mongo/lease.hpp"

// The commands of Server; its connections and errors are in driver.cpp.
namespace jobruntime::mongo {
namespace {

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

/// What a command asks the server to do, in words.
std::string in_words(std::string_view command) {
    if (command == "isMaster") return "say its version";
    if (command == "createIndexes") return "make indexes";
    if (command == "listIndexes") return "list indexes";
    return std::string(command);
}

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
    const std::string doing = bson_iter_init(&first, command.raw()) && bson_iter_next(&first)
                                  ? in_words(bson_iter_key(&first))
                                  : "do that";
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
