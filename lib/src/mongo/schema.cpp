// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/schema.hpp"

#include <span>

namespace jobruntime::mongo {
namespace {

/// MongoDB 4.2.
constexpr std::int64_t oldest_wire = 8;

struct Index {
    Where where;
    std::string_view name;
    Doc keys;
    Doc partial{};  ///< Empty = all documents.
    bool unique = false;
};

Doc up(std::initializer_list<std::string_view> names) {
    Doc keys;
    for (const auto name : names) keys.integer(name, 1);
    return keys;
}

Doc where(std::string_view name, std::string_view value) { return std::move(Doc().text(name, value)); }
Doc where_there(std::string_view name) { return std::move(Doc().doc(name, Doc().flag("$exists", true))); }
Doc where_true(std::string_view name) { return std::move(Doc().flag(name, true)); }

/// docs/mongodb.md says what each is for.
const std::vector<Index>& indexes() {
    static const std::vector<Index> all{
        {Where::jobs, "jobrt_ready", up({"queue", "kind", "alone", "priority", "runAt", "_id"}),
         where("status", "queued")},
        {Where::jobs, "jobrt_due", up({"runAt", "_id"}), where("status", "scheduled")},
        {Where::jobs, "jobrt_running", up({"workerId", "_id"}), where("status", "running")},
        {Where::jobs, "jobrt_unique", up({"uniqueHeld"}), where_there("uniqueHeld"), true},
        {Where::jobs, "jobrt_idempotency", up({"idempotencyKey"}), where_there("idempotencyKey"), true},
        {Where::jobs, "jobrt_created", up({"createdAt", "_id"})},
        {Where::jobs, "jobrt_finished", up({"status", "finishedAt"}), where_there("finishedAt")},
        {Where::jobs, "jobrt_untold", up({"untold"}), where_true("untold")},
        {Where::log, "jobrt_keys", up({"keys"}), {}, true},
        {Where::log, "jobrt_last", up({"last"})},
    };
    return all;
}

Doc create_indexes(Where where) {
    List list;
    for (const auto& index : indexes()) {
        if (index.where != where) continue;
        Doc one;
        one.doc("key", index.keys).text("name", index.name);
        if (index.unique) one.flag("unique", true);
        if (!index.partial.empty()) one.doc("partialFilterExpression", index.partial);
        list.doc(one);
    }
    Doc command;
    command.text("createIndexes", Server::name_of(where)).list("indexes", list.made());
    command.doc("writeConcern", Doc().text("w", "majority"));
    return command;
}

/// Whether all indexes are there, for a user who may not make any.
bool all_there(Server& server, Where where) {
    auto answer = server.command(std::move(Doc().text("listIndexes", Server::name_of(where))));
    if (!answer) return false;
    const auto cursor = View(*answer).doc("cursor");
    const auto batch = cursor ? cursor->list("firstBatch") : std::nullopt;
    if (!batch) return false;
    std::size_t wanted = 0, found = 0;
    for (const auto& index : indexes()) {
        if (index.where != where) continue;
        ++wanted;
        batch->each_doc([&](const View& there) {
            const auto keys = there.doc("key");
            if (keys && there.text("name") == index.name &&
                bson_equal(keys->copy().raw(), index.keys.raw()) &&
                there.flag("unique").value_or(false) == index.unique)
                ++found;
        });
    }
    return found == wanted;
}

Result<void> check_protocol(Server& server) {
    auto hello = server.command(std::move(Doc().integer("isMaster", 1)));
    if (!hello) return std::move(hello).error();
    if (View(*hello).number("maxWireVersion").value_or(0) < oldest_wire)
        return Error{Errc::unsupported, "SERVER_TOO_OLD",
                     "MongoDB at " + server.place().hosts + " is too old; jobruntime needs 4.2 or newer"};
    return {};
}

Doc schema_filter() { return std::move(Doc().doc("_id", Doc().text("jobrt", "schema"))); }

Result<void> check_version(Server& server) {
    auto found = server.find(Where::records, {.filter = schema_filter(), .limit = 1});
    if (!found) return std::move(found).error();
    if (found->empty()) {
        std::vector<Doc> made;
        made.push_back(schema_filter());
        made.front().number("version", schema_version);
        if (auto stored = server.insert(Where::records, made); !stored) return std::move(stored).error();
        return {};
    }
    const auto version = View(found->front()).number("version");
    if (!version)
        return Error{Errc::corrupt,
                     "the document {jobrt: \"schema\"} in jobrt_records of " + server.place().text +
                         " has no version; put {version: " + std::to_string(schema_version) + "} back"};
    if (*version > schema_version)
        return Error{Errc::unsupported, "STORE_TOO_NEW",
                     server.place().text + " was made by a newer jobruntime (schema " +
                         std::to_string(*version) + ", this program knows " + std::to_string(schema_version) +
                         "); run that version or a newer one"};
    return {};
}

}  // namespace

Result<void> prepare(Server& server) {
    JR_TRY(check_protocol(server));
    JR_TRY(check_version(server));
    for (const auto where : {Where::jobs, Where::log}) {
        auto made = server.command(create_indexes(where));
        if (made) continue;
        if (made.error().name == "STORE_RIGHTS" && all_there(server, where)) continue;
        if (made.error().name == "DUPLICATE")
            return Error{Errc::conflict, "STORE_INDEX",
                         std::string(Server::name_of(where)) + " of " + server.place().text +
                             " holds documents that a unique index of jobruntime does not allow; remove what "
                             "is not its own"};
        return std::move(made).error();
    }
    return {};
}

}  // namespace jobruntime::mongo
