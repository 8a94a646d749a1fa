// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/driver.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <string>

#include "mongo/codes.hpp"

namespace jobruntime::mongo {
namespace {

/// So long nobody looks for a server again that was sought in vain.
constexpr std::chrono::milliseconds told_again{250};

bool from_server(const bson_error_t& why) {
    return why.domain == MONGOC_ERROR_SERVER || why.domain == MONGOC_ERROR_WRITE_CONCERN;
}

}  // namespace

void start_driver(bool quiet) {
    static std::once_flag started, silenced;
    std::call_once(started, [] { mongoc_init(); });
    // Once only, so that a handler which the host sets later stays.
    if (quiet)
        std::call_once(silenced, [] {
            mongoc_log_set_handler([](mongoc_log_level_t, const char*, const char*, void*) {}, nullptr);
            // The driver's counters, for a tool that looks at them from outside. One who is killed leaves the file behind,
            // and whoever gets the same process id later complains on stderr, before any handler can be set.
            ::shm_unlink(("/mongoc-" + std::to_string(::getpid())).c_str());
        });
}

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

Error Server::does_not_answer(std::string_view when) const {
    return {Errc::unavailable, "",
            "MongoDB at " + place_.hosts + " does not answer" + std::string(when) +
                "; check that it runs and can be reached" + also_};
}

Error Server::no_connection() {
    if (just_sought_in_vain()) return does_not_answer(", nor did it a moment ago");
    // A name that is none in DNS makes no pool. The driver does not say by a code which of these it is.
    if (const char* name = mongoc_uri_get_srv_hostname(uri_.get()); name && !pool())
        return {Errc::unavailable, "",
                "MongoDB at " + place_.hosts + " cannot be looked up; check that DNS has the SRV record _mongodb._tcp." + name +
                    ", that its hosts lie in the domain above that name, and that a TXT record of the name sets nothing but "
                    "authSource and replicaSet"};
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
        return does_not_answer(" when asked to " + std::string(doing));
    }
    if (why.domain == MONGOC_ERROR_STREAM || why.domain == MONGOC_ERROR_PROTOCOL ||
        why.domain == MONGOC_ERROR_CLIENT) {
        auto lost = does_not_answer(" when asked to " + std::string(doing));
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

}  // namespace jobruntime::mongo
