// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::host {

/// "mongodb://…" or "mongodb+srv://…".
bool is_mongo(std::string_view address);

/// Reads "sqlite:PATH" (made absolute below `directory`), a MongoDB URI, or, where a command takes it, a bare
/// path. The text of an error shows no secret.
Result<std::string> read_address(std::string_view text, const std::string& directory, bool bare_path);

/// The address without user, password and secret options, for people: what Store::describe() says, where the
/// address can be read at all.
std::string public_address(std::string_view address);

/// At the beginning of a program, whatever its store: MongoDB's driver leaves nothing behind when it is killed, and
/// says nothing on stderr.
void quiet_drivers();

struct OpenOptions {
    std::string variable = "JOBRT_STORE";  ///< Who named the address, for messages.
    Origin origin;
    std::function<void(std::string_view line)> log;
};

/// Opens the store at an address of read_address. A MongoDB server need not answer yet. The message of an
/// error names the variable and the place, never user or password. Errc::unsupported with STORE_UNSUPPORTED:
/// built without MongoDB.
Result<std::unique_ptr<Store>> open_address(const std::string& address, OpenOptions options);

/// Asks the store for a small thing. Errc::unavailable: it does not answer now, which is no reason not to
/// start; any other error is one that trying again does not mend (credentials, rights, another version's
/// database).
Result<void> try_store(Store& store);

}  // namespace jobruntime::host
