// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Small shared facts. The store's own notes lie beside them, with a document as _id, which no key can be.
#include "mongo/records.hpp"

#include <algorithm>

#include "core/utf8.hpp"

namespace jobruntime::mongo {
namespace {

Doc counter_filter() { return std::move(Doc().doc("_id", Doc().text("jobrt", "records"))); }

bool is_text(std::string_view key) { return core::is_utf8(key); }

/// A key is text where it can be, so that people can read it, else bytes.
void put_key(Doc& doc, std::string_view name, std::string_view key) {
    if (is_text(key))
        doc.text(name, key);
    else
        doc.bytes(name, key);
}

std::optional<std::string> read_key(const View& doc) {
    if (auto text = doc.text("_id")) return text;
    const auto field = doc.find("_id");
    if (!field || !BSON_ITER_HOLDS_BINARY(&field->at)) return std::nullopt;
    std::uint32_t size = 0;
    const std::uint8_t* data = nullptr;
    bson_subtype_t type{};
    bson_iter_binary(&field->at, &type, &size, &data);
    return std::string(reinterpret_cast<const char*>(data), size);
}

Result<std::optional<Record>> read_one(Server& server, std::string_view key) {
    Doc filter;
    put_key(filter, "_id", key);
    auto found = server.find(Where::records, {.filter = std::move(filter), .limit = 1});
    if (!found) return std::move(found).error();
    if (found->empty()) return std::optional<Record>{};
    const View doc(found->front());
    const auto value = doc.text("value");
    const auto version = doc.number("version");
    if (!value || !version || *version <= 0)
        return Error{Errc::corrupt, "the record " + std::string(key) + " of " + server.place().text +
                                        " makes no sense; mend or delete it by hand"};
    return std::optional(Record{std::string(key), *value, static_cast<std::uint64_t>(*version)});
}

Error wrong_version(std::string_view key, std::uint64_t version, std::uint64_t expected) {
    return {Errc::conflict, "record " + std::string(key) + " is at version " + std::to_string(version) +
                                ", not " + std::to_string(expected) + "; read it again before changing it"};
}

}  // namespace

Result<std::int64_t> record_counter(Server& server) {
    auto found = server.find(Where::records, {.filter = counter_filter(), .limit = 1});
    if (!found) return std::move(found).error();
    return found->empty() ? 0 : View(found->front()).number("version").value_or(0);
}

Result<std::vector<Record>> read_records(Server& server, std::string_view prefix) {
    // Keys that are no text are few and are looked at one by one.
    List any;
    if (is_text(prefix)) {
        std::string end(prefix);
        for (int i = 0; i < 64; ++i) end += "\xF4\x8F\xBF\xBF";  // Above any key of at most 255 bytes.
        any.doc(Doc().doc("_id", Doc().text("$gte", prefix).text("$lt", end)));
    }
    any.doc(Doc().doc("_id", Doc().text("$type", "binData")));
    auto found = server.find(Where::records, {.filter = std::move(Doc().list("$or", any.made()))});
    if (!found) return std::move(found).error();
    std::vector<Record> records;
    for (const auto& doc : *found) {
        const auto key = read_key(doc);
        const auto value = View(doc).text("value");
        const auto version = View(doc).number("version");
        if (!key || !key->starts_with(prefix) || !value || !version || *version <= 0) continue;
        records.push_back({*key, *value, static_cast<std::uint64_t>(*version)});
    }
    std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.key < b.key; });
    return records;
}

Result<std::uint64_t> put_record(Server& server, std::string_view key, std::optional<std::string_view> value,
                                 std::uint64_t expected) {
    const auto now = read_one(server, key);
    if (!now) return now.error();
    const auto version = *now ? (*now)->version : 0;
    if (version != expected) return wrong_version(key, version, expected);
    if (!value && !*now) return std::uint64_t{0};
    // A version of its own for every put, also one that comes to nothing.
    const auto counted = server.upsert(Where::records, counter_filter(),
                                       std::move(Doc().doc("$inc", Doc().number("version", 1))));
    if (!counted) return counted.error();
    const auto next = View(*counted).number("version").value_or(0);
    Doc filter;
    put_key(filter, "_id", key);
    if (*now) filter.number("version", static_cast<std::int64_t>(expected));
    if (!value) {
        const auto removed = server.remove_all(Where::records, filter);
        if (!removed) return removed.error();
        if (*removed == 0) return wrong_version(key, 0, expected);
        return std::uint64_t{0};
    }
    if (*now) {
        const auto changed = server.update_all(
            Where::records, filter,
            std::move(Doc().doc("$set", Doc().text("value", *value).number("version", next))));
        if (!changed) return changed.error();
        if (*changed == 0) return wrong_version(key, 0, expected);
        return static_cast<std::uint64_t>(next);
    }
    std::vector<Doc> made;
    made.push_back(std::move(filter));
    made.front().text("value", *value).number("version", next);
    const auto there = server.insert(Where::records, made);
    if (!there) return there.error();
    if (!there->empty()) return wrong_version(key, static_cast<std::uint64_t>(next), expected);
    return static_cast<std::uint64_t>(next);
}

}  // namespace jobruntime::mongo
