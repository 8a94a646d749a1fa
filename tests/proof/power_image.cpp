// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/power_image.hpp"

#include <algorithm>

namespace proof {

void DiskImage::write(const std::string& path, std::uint64_t offset, std::string_view data) {
    pending_[path].push_back({Operation::Kind::write, offset, std::string(data)});
}

void DiskImage::truncate(const std::string& path, std::uint64_t size) {
    pending_[path].push_back({Operation::Kind::truncate, size, {}});
}

void DiskImage::remove(const std::string& path) {
    pending_[path].push_back({Operation::Kind::remove, 0, {}});
}

void DiskImage::sync(const std::string& path) {
    auto found = pending_.find(path);
    if (found == pending_.end()) return;
    auto& file = durable_[path];
    for (const auto& operation : found->second) apply(file, operation);
    pending_.erase(found);
}

void DiskImage::sync_folder(const std::string& path) {
    for (auto& [name, operations] : pending_) {
        if (name.substr(0, name.rfind('/')) != path) continue;
        const auto last = std::find_if(
            operations.rbegin(), operations.rend(),
            [](const Operation& operation) { return operation.kind == Operation::Kind::remove; });
        if (last == operations.rend()) continue;
        operations.erase(operations.begin(), last.base());
        durable_[name].clear();
    }
}

void DiskImage::apply(std::string& file, const Operation& operation) {
    switch (operation.kind) {
        case Operation::Kind::write:
            if (file.size() < operation.offset + operation.data.size())
                file.resize(operation.offset + operation.data.size());
            std::copy(operation.data.begin(), operation.data.end(),
                      file.begin() + static_cast<std::ptrdiff_t>(operation.offset));
            break;
        case Operation::Kind::truncate: file.resize(operation.offset); break;
        case Operation::Kind::remove: file.clear(); break;
    }
}

DiskImage::Files DiskImage::cut(std::mt19937_64& random) {
    Files after = durable_;
    unsynced_ = dropped_ = 0;
    for (const auto& [path, operations] : pending_) {
        std::vector<Operation> survivors;
        switch (random() % 4) {
            case 0: break;  // The cache is gone.
            case 1:         // A prefix got through.
                survivors.assign(
                    operations.begin(),
                    operations.begin() + static_cast<std::ptrdiff_t>(random() % (operations.size() + 1)));
                break;
            default:  // Some got through; for 3 in another order.
                for (const auto& operation : operations)
                    if (random() % 2 == 0) survivors.push_back(operation);
        }
        unsynced_ += static_cast<long>(operations.size());
        dropped_ += static_cast<long>(operations.size() - survivors.size());
        if (random() % 4 == 3) std::shuffle(survivors.begin(), survivors.end(), random);
        for (auto& operation : survivors) {
            if (operation.kind == Operation::Kind::write && operation.data.size() > 512 && random() % 4 == 0)
                operation.data.resize(512 * (random() % (operation.data.size() / 512 + 1)));  // Torn.
        }
        auto& file = after[path];
        for (const auto& operation : survivors) apply(file, operation);
    }
    return after;
}

}  // namespace proof
