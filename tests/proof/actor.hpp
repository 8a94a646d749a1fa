// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <string>

#include <jobruntime/store.hpp>

namespace proof {

/// What an actor was told on its command line: "--name value" pairs.
struct Script {
    std::map<std::string, std::string> words;
    std::string text(const std::string& name, const std::string& fallback = "") const {
        auto found = words.find(name);
        return found == words.end() ? fallback : found->second;
    }
    long number(const std::string& name, long fallback) const {
        const auto given = text(name);
        return given.empty() ? fallback : std::stol(given);
    }
};

/// Opens --db, a file or a store's address, trying for a while when it is busy.
std::unique_ptr<jobruntime::Store> open_store(const Script& script);

int enqueue(const Script& script);
int work(const Script& script);
int tail(const Script& script);

}  // namespace proof
