// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "mongo/driver.hpp"

namespace jobruntime::mongo {

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

}  // namespace jobruntime::mongo
