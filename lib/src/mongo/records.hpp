// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "mongo/driver.hpp"

namespace jobruntime::mongo {

/// The newest version that any record ever had; it moves with each put.
Result<std::int64_t> record_counter(Server& server);
Result<std::vector<Record>> read_records(Server& server, std::string_view prefix);
Result<std::uint64_t> put_record(Server& server, std::string_view key, std::optional<std::string_view> value,
                                 std::uint64_t expected);

}  // namespace jobruntime::mongo
