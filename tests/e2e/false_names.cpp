// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <dlfcn.h>
#include <netdb.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

// A name server of the tests' own, for a program that is started with this library as LD_PRELOAD: names below
// canary.invalid lead where strangers would have theirs lead. All others are asked for as ever.
namespace {

constexpr const char* allowed[] = {"127.0.0.1", "127.0.0.3"};  // Where the tests' sites are.
constexpr const char* canary = "127.0.0.2";

/// One look-up more of this name; how many there were before, in this process.
int count(const std::string& name) {
    static std::mutex mutex;
    static std::map<std::string, int> counts;
    const std::lock_guard lock(mutex);
    return counts[name]++;
}

/// The addresses of a name that is ours; none of another.
std::vector<const char*> addresses_of(std::string name) {
    constexpr const char* below = ".canary.invalid";
    const auto end = name.size() < std::strlen(below) ? std::string::npos : name.size() - std::strlen(below);
    if (end == std::string::npos || name.compare(end, std::string::npos, below) != 0) return {};
    const auto kind = name.substr(0, end);
    if (kind == "four") return {canary};
    if (kind == "six") return {"::1"};
    if (kind == "mapped") return {"::ffff:127.0.0.2"};
    // Looks harmless to whoever is content with one good address.
    if (kind == "mixed") return {allowed[0], allowed[1], canary};
    // Looks harmless once: DNS rebinding.
    if (kind.ends_with(".turning") && count(name) == 0) return {allowed[0], allowed[1]};
    if (kind.ends_with(".turning")) return {canary};
    return {};
}

using GetAddrInfo = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    static const auto real = reinterpret_cast<GetAddrInfo>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    const bool numeric = hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) != 0;
    const auto ours = node == nullptr || numeric ? std::vector<const char*>() : addresses_of(node);
    if (ours.empty()) return real(node, service, hints, result);
    addrinfo* all = nullptr;
    addrinfo** last = &all;
    for (const char* address : ours) {
        if (real(address, service, hints, last) != 0) continue;  // Of another family than the one that is asked for.
        while (*last != nullptr) last = &(*last)->ai_next;
    }
    *result = all;
    return all != nullptr ? 0 : EAI_NONAME;
}
