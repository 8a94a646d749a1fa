// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <mongoc/mongoc.h>

#include <jobruntime/mongo.hpp>

namespace jobruntime::mongo {

/// Owns a C handle: CHandle<mongoc_cursor_t, mongoc_cursor_destroy>.
template <class T, auto close>
struct Closer {
    void operator()(T* handle) const noexcept { close(handle); }
};
template <class T, auto close>
using CHandle = std::unique_ptr<T, Closer<T, close>>;

using Uri = CHandle<mongoc_uri_t, mongoc_uri_destroy>;
using Pool = CHandle<mongoc_client_pool_t, mongoc_client_pool_destroy>;
using Cursor = CHandle<mongoc_cursor_t, mongoc_cursor_destroy>;
using CollectionHandle = CHandle<mongoc_collection_t, mongoc_collection_destroy>;
using ChangeStream = CHandle<mongoc_change_stream_t, mongoc_change_stream_destroy>;

/// Once a process: libmongoc's own beginning, and its log handler when that is wanted.
void start_driver(bool quiet);

/// The driver's form of a URI, with what this store insists on; `place` is filled in.
Result<Uri> read_uri(std::string_view text, const Options& options, Place& place);

}  // namespace jobruntime::mongo
