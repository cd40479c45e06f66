// SPDX-License-Identifier: BSD-3-Clause

// A whole device on the fake kernel, for the session and message targets.
#pragma once

#include <memory>
#include <optional>

#include "device/shape.h"
#include "fuzz/dpdk.h"
#include "support/fake_kernel.h"
#include "vduse/device.h"

namespace vduse::test {

struct DeviceRig {
    DeviceRig() {
        pool();
        config.name = "vd0";
        config.queue_pairs = 2;
        config.mac = {2, 0, 0, 0, 0, 7};
        config.profile = Profile::full;
        shape = device::shape_of(config, true);
        auto made = Control::create(&kernel);
        check(static_cast<bool>(made), "control can be created");
        control = std::move(*made);
        auto added = control->add(config);
        check(static_cast<bool>(added), "a device can be created");
        device = std::move(*added);
        vd0 = kernel.device(config.name);
        vd0->pump = [this] { control->run_once(0); };
    }

    /// Sends a request and returns its answer, or nothing if the device is broken.
    std::optional<uapi::abi::Response> send(const uapi::abi::Request& request) {
        auto response = vd0->send(request);
        check(response || vd0->broken || device->broken(), "every request is answered");
        return response;
    }

    FakeKernel kernel;
    DeviceConfig config;
    device::Shape shape;
    std::unique_ptr<Control> control;
    std::unique_ptr<Device> device;
    FakeDevice* vd0 = nullptr;
};

}  // namespace vduse::test
