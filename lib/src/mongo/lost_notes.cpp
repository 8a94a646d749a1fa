// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/lost_notes.hpp"

#include <algorithm>

namespace jobruntime::mongo {
namespace {

constexpr std::size_t most_notes = 10'000;
constexpr std::size_t most_bytes = 32u << 20;

template <class Index, class Key>
void take_out(Index& index, const Key& key, LostNotes::Place place) {
    const auto [first, last] = index.equal_range(key);
    const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second == place; });
    if (found != last) index.erase(found);
}

}  // namespace

/// What it takes here, roughly: the contents twice, a mark twice, and what the maps need.
std::size_t LostNotes::size_of(const Note& note) {
    std::size_t bytes = 2 * note.contents.size() + 400;
    for (const auto& mark : note.marks) bytes += 2 * mark.size() + 200;
    return bytes;
}

LostNotes::Place LostNotes::sent_again(const std::string& contents) {
    const auto [first, last] = by_contents_.equal_range(contents);
    for (auto it = first; it != last; ++it) {
        auto& note = notes_.at(it->second);
        if (std::exchange(note.sent_again, true)) continue;
        return it->second;
    }
    return 0;
}

std::vector<std::string> LostNotes::marks(Place place) const {
    const auto found = notes_.find(place);
    return found == notes_.end() ? std::vector<std::string>{} : found->second.marks;
}

void LostNotes::saw(const JobId& job, std::string_view token) {
    if (notes_.empty() || token.empty()) return;
    const auto [first, last] = by_mark_.equal_range(std::pair(job, std::string(token)));
    for (auto it = first; it != last; ++it) notes_.at(it->second).landed = true;
}

bool LostNotes::landed(Place place) const {
    const auto found = notes_.find(place);
    return found != notes_.end() && found->second.landed;
}

void LostNotes::heard(Place place) {
    const auto found = notes_.find(place);
    if (found == notes_.end()) return;
    const auto& note = found->second;
    bytes_ -= size_of(note);
    take_out(by_contents_, note.contents, place);
    for (const auto& mark : note.marks) take_out(by_mark_, std::pair(note.job, mark), place);
    notes_.erase(found);
}

void LostNotes::lost(Place place, std::string contents, const JobId& job, std::vector<std::string> marks) {
    const bool known = landed(place);
    heard(place);
    const Place fresh = ++last_;
    by_contents_.emplace(contents, fresh);
    for (const auto& mark : marks) by_mark_.emplace(std::pair(job, mark), fresh);
    const auto& note =
        notes_.emplace(fresh, Note{std::move(contents), job, std::move(marks), known, false}).first->second;
    bytes_ += size_of(note);
    while (notes_.size() > most_notes || bytes_ > most_bytes) heard(notes_.begin()->first);
}

}  // namespace jobruntime::mongo
