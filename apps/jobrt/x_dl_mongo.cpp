// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "x_dl_mongo.hpp"

#include "stores.hpp"

#ifdef JOBRUNTIME_HAS_MONGO
#include <memory>

#include <mongoc/mongoc.h>
#include <boost/json/parse.hpp>
#endif

namespace jobruntime::jobrt {

#ifdef JOBRUNTIME_HAS_MONGO
namespace {

/// Owns a C handle.
template <class T, auto close>
struct Closer {
    void operator()(T* handle) const noexcept { close(handle); }
};
template <class T, auto close>
using Handle = std::unique_ptr<T, Closer<T, close>>;
using Uri = Handle<mongoc_uri_t, mongoc_uri_destroy>;
using Client = Handle<mongoc_client_t, mongoc_client_destroy>;
using Collection = Handle<mongoc_collection_t, mongoc_collection_destroy>;
using Cursor = Handle<mongoc_cursor_t, mongoc_cursor_destroy>;

/// Owns a document. A class of its own, because bson_t is over-aligned, of which g++ warns in a template.
class Bson {
public:
    explicit Bson(bson_t* document) : document_(document) {}
    ~Bson() { bson_destroy(document_); }
    Bson(const Bson&) = delete;
    Bson& operator=(const Bson&) = delete;
    bson_t* get() const { return document_; }

private:
    bson_t* document_;
};

/// Far more than the old application's jobs ever need; not a program's memory full.
constexpr std::size_t most_documents = 2'000'000;

Result<boost::json::object> as_object(const bson_t* document) {
    const std::unique_ptr<char, Closer<void, bson_free>> text(
        bson_as_relaxed_extended_json(document, nullptr));
    if (!text) return Error{Errc::corrupt, "IMPORT_UNREADABLE", "a document cannot be read as JSON"};
    boost::system::error_code code;
    auto value = boost::json::parse(text.get(), code);
    if (code || !value.is_object())
        return Error{Errc::corrupt, "IMPORT_UNREADABLE", "a document cannot be read as JSON"};
    return std::move(value.get_object());
}

}  // namespace

Result<std::vector<boost::json::object>> read_old_database(const std::string& text) {
    mongoc_init();
    mongoc_log_set_handler(nullptr, nullptr);
    const auto place = host::public_address(text);
    bson_error_t why;
    const Uri uri(mongoc_uri_new_with_error(text.c_str(), &why));
    if (!uri)
        return Error{Errc::invalid_argument, "INVALID_STORE",
                     "--from " + place + " is no MongoDB URI that can be used"};
    mongoc_uri_set_option_as_int32(uri.get(), MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 5'000);
    const char* named = mongoc_uri_get_database(uri.get());
    const std::string database = named && *named ? named : "test";
    const Client client(mongoc_client_new_from_uri(uri.get()));
    if (!client)
        return Error{Errc::invalid_argument, "INVALID_STORE",
                     "--from " + place + " asks for what this driver has not"};
    const Collection collection(mongoc_client_get_collection(client.get(), database.c_str(), "jobs"));
    const Bson everything(bson_new());
    const Bson options(BCON_NEW("sort", "{", "createdAt", BCON_INT32(1), "}"));
    const Cursor cursor(
        mongoc_collection_find_with_opts(collection.get(), everything.get(), options.get(), nullptr));
    std::vector<boost::json::object> documents;
    const bson_t* document = nullptr;
    while (mongoc_cursor_next(cursor.get(), &document)) {
        if (documents.size() == most_documents)
            return Error{Errc::full, "IMPORT_TOO_LARGE",
                         "the collection jobs of " + database +
                             " holds more than two million documents; import mongoexport files in parts"};
        auto object = as_object(document);
        if (!object) return std::move(object).error();
        documents.push_back(*std::move(object));
    }
    if (mongoc_cursor_error(cursor.get(), &why)) {
        const bool away = why.domain == MONGOC_ERROR_SERVER_SELECTION || why.domain == MONGOC_ERROR_STREAM;
        return Error{
            away ? Errc::unavailable : Errc::invalid_argument, away ? "STORE_UNAVAILABLE" : "IMPORT_REFUSED",
            "cannot read the collection jobs of database " + database + " at " + place + ": " +
                (away ? "no server answers" : "the server refuses (code " + std::to_string(why.code) + ")")};
    }
    return documents;
}
#else
Result<std::vector<boost::json::object>> read_old_database(const std::string& uri) {
    return Error{Errc::unsupported, "STORE_UNSUPPORTED",
                 "this program was built without MongoDB, so it cannot read " + host::public_address(uri) +
                     "; export the collection with mongoexport --collection jobs --out jobs.json and give "
                     "--file jobs.json"};
}
#endif

}  // namespace jobruntime::jobrt
