// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>

#include <jobruntime/sqlite.hpp>
#ifdef PROOF_HAS_MONGO
#include <jobruntime/mongo.hpp>
#endif

namespace proof {

/// "mongodb://…"; any other address is a file of SQLite, with or without "sqlite:" before it.
bool is_mongo(const std::string& address);

struct AddressOptions {
    jobruntime::sqlite::Options sqlite;
#ifdef PROOF_HAS_MONGO
    jobruntime::mongo::Options mongo;
#endif
};

/// Opens the store at an address as the programs name it (apps/host/src/stores.hpp).
jobruntime::Result<std::unique_ptr<jobruntime::Store>> open_at(const std::string& address, AddressOptions options = {});

/// The file of an address that is not MongoDB's.
std::string file_of(const std::string& address);

}  // namespace proof
