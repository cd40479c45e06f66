// SPDX-License-Identifier: BSD-3-Clause

// Compares uapi/abi.h with the system's <linux/vduse.h>, as far as that header goes.
//
// API version 1 is in the headers of Linux 7.0 and later, QUEUE_READY and SUSPEND in those of 7.3.
// The header of Debian 12 has version 0.
#include "uapi/abi.h"

#include <gtest/gtest.h>

#if __has_include(<linux/vduse.h>)
#include <linux/vduse.h>
#define HAVE_VDUSE 1
#endif

#define EXPECT_SAME_MEMBER(ours, our_member, theirs, their_member)         \
    EXPECT_EQ(offsetof(ours, our_member), offsetof(theirs, their_member)); \
    EXPECT_EQ(sizeof(ours::our_member), sizeof(theirs::their_member))

namespace vduse::test {
namespace {

namespace abi = uapi::abi;

#ifdef HAVE_VDUSE

unsigned number(abi::RequestType type) {
    return static_cast<unsigned>(type);
}

TEST(Abi, Ioctls) {
    EXPECT_EQ(abi::kGetApiVersion, VDUSE_GET_API_VERSION);
    EXPECT_EQ(abi::kSetApiVersion, VDUSE_SET_API_VERSION);
    EXPECT_EQ(abi::kCreateDev, VDUSE_CREATE_DEV);
    EXPECT_EQ(abi::kDestroyDev, VDUSE_DESTROY_DEV);
    EXPECT_EQ(abi::kIotlbGetFd, VDUSE_IOTLB_GET_FD);
    EXPECT_EQ(abi::kDevGetFeatures, VDUSE_DEV_GET_FEATURES);
    EXPECT_EQ(abi::kDevSetConfig, VDUSE_DEV_SET_CONFIG);
    EXPECT_EQ(abi::kDevInjectConfigIrq, VDUSE_DEV_INJECT_CONFIG_IRQ);
    EXPECT_EQ(abi::kVqSetup, VDUSE_VQ_SETUP);
    EXPECT_EQ(abi::kVqGetInfo, VDUSE_VQ_GET_INFO);
    EXPECT_EQ(abi::kVqSetupKickfd, VDUSE_VQ_SETUP_KICKFD);
    EXPECT_EQ(abi::kVqInjectIrq, VDUSE_VQ_INJECT_IRQ);
}

TEST(Abi, Constants) {
    EXPECT_EQ(abi::kApiVersion0, uint64_t{VDUSE_API_VERSION});
    EXPECT_EQ(abi::kNameMax, size_t{VDUSE_NAME_MAX});
    EXPECT_EQ(abi::kResultOk, unsigned{VDUSE_REQ_RESULT_OK});
    EXPECT_EQ(abi::kResultFailed, unsigned{VDUSE_REQ_RESULT_FAILED});
    EXPECT_EQ(number(abi::RequestType::get_vq_state), unsigned{VDUSE_GET_VQ_STATE});
    EXPECT_EQ(number(abi::RequestType::set_status), unsigned{VDUSE_SET_STATUS});
    EXPECT_EQ(number(abi::RequestType::update_iotlb), unsigned{VDUSE_UPDATE_IOTLB});
}

TEST(Abi, Structs) {
    EXPECT_EQ(sizeof(abi::DevConfig), sizeof(vduse_dev_config));
    EXPECT_SAME_MEMBER(abi::DevConfig, name, vduse_dev_config, name);
    EXPECT_SAME_MEMBER(abi::DevConfig, vendor_id, vduse_dev_config, vendor_id);
    EXPECT_SAME_MEMBER(abi::DevConfig, device_id, vduse_dev_config, device_id);
    EXPECT_SAME_MEMBER(abi::DevConfig, features, vduse_dev_config, features);
    EXPECT_SAME_MEMBER(abi::DevConfig, vq_num, vduse_dev_config, vq_num);
    EXPECT_SAME_MEMBER(abi::DevConfig, vq_align, vduse_dev_config, vq_align);
    EXPECT_SAME_MEMBER(abi::DevConfig, config_size, vduse_dev_config, config_size);

    EXPECT_EQ(sizeof(abi::IotlbEntry), sizeof(vduse_iotlb_entry));
    EXPECT_SAME_MEMBER(abi::IotlbEntry, offset, vduse_iotlb_entry, offset);
    EXPECT_SAME_MEMBER(abi::IotlbEntry, start, vduse_iotlb_entry, start);
    EXPECT_SAME_MEMBER(abi::IotlbEntry, last, vduse_iotlb_entry, last);
    EXPECT_SAME_MEMBER(abi::IotlbEntry, perm, vduse_iotlb_entry, perm);

    EXPECT_EQ(sizeof(abi::ConfigData), sizeof(vduse_config_data));
    EXPECT_SAME_MEMBER(abi::ConfigData, length, vduse_config_data, length);

    EXPECT_EQ(sizeof(abi::VqConfig), sizeof(vduse_vq_config));
    EXPECT_SAME_MEMBER(abi::VqConfig, max_size, vduse_vq_config, max_size);

    EXPECT_EQ(sizeof(abi::VqInfo), sizeof(vduse_vq_info));
    EXPECT_SAME_MEMBER(abi::VqInfo, num, vduse_vq_info, num);
    EXPECT_SAME_MEMBER(abi::VqInfo, desc_addr, vduse_vq_info, desc_addr);
    EXPECT_SAME_MEMBER(abi::VqInfo, driver_addr, vduse_vq_info, driver_addr);
    EXPECT_SAME_MEMBER(abi::VqInfo, device_addr, vduse_vq_info, device_addr);
    EXPECT_SAME_MEMBER(abi::VqInfo, split, vduse_vq_info, split);
    EXPECT_SAME_MEMBER(abi::VqInfo, packed, vduse_vq_info, packed);
    EXPECT_SAME_MEMBER(abi::VqInfo, ready, vduse_vq_info, ready);

    EXPECT_EQ(sizeof(abi::VqEventfd), sizeof(vduse_vq_eventfd));
    EXPECT_SAME_MEMBER(abi::VqEventfd, fd, vduse_vq_eventfd, fd);

    EXPECT_EQ(sizeof(abi::VqState), sizeof(vduse_vq_state));
    EXPECT_SAME_MEMBER(abi::VqState, split, vduse_vq_state, split);

    EXPECT_EQ(sizeof(abi::Request), sizeof(vduse_dev_request));
    EXPECT_SAME_MEMBER(abi::Request, request_id, vduse_dev_request, request_id);
    EXPECT_SAME_MEMBER(abi::Request, vq_state, vduse_dev_request, vq_state);
    EXPECT_SAME_MEMBER(abi::Request, status, vduse_dev_request, s);

    EXPECT_EQ(sizeof(abi::Response), sizeof(vduse_dev_response));
    EXPECT_SAME_MEMBER(abi::Response, result, vduse_dev_response, result);
    EXPECT_SAME_MEMBER(abi::Response, vq_state, vduse_dev_response, vq_state);
}

#else

TEST(Abi, Version0) {
    GTEST_SKIP() << "needs <linux/vduse.h>";
}

#endif

#ifdef VDUSE_F_SUSPEND

TEST(Abi, Version1) {
    EXPECT_EQ(abi::kApiVersion1, uint64_t{VDUSE_API_VERSION_1});
    EXPECT_EQ(abi::kFeatureQueueReady, uint64_t{1} << VDUSE_F_QUEUE_READY);
    EXPECT_EQ(abi::kFeatureSuspend, uint64_t{1} << VDUSE_F_SUSPEND);
    EXPECT_EQ(abi::kGetFeatures, VDUSE_GET_FEATURES);
    EXPECT_EQ(abi::kSetFeatures, VDUSE_SET_FEATURES);
    EXPECT_EQ(abi::kIotlbGetFd2, VDUSE_IOTLB_GET_FD2);
    EXPECT_EQ(number(abi::RequestType::set_vq_group_asid), unsigned{VDUSE_SET_VQ_GROUP_ASID});
    EXPECT_EQ(number(abi::RequestType::set_vq_ready), unsigned{VDUSE_SET_VQ_READY});
    EXPECT_EQ(number(abi::RequestType::suspend), unsigned{VDUSE_SUSPEND});

    EXPECT_SAME_MEMBER(abi::DevConfig, ngroups, vduse_dev_config, ngroups);
    EXPECT_SAME_MEMBER(abi::DevConfig, nas, vduse_dev_config, nas);
    EXPECT_SAME_MEMBER(abi::VqConfig, group, vduse_vq_config, group);
    EXPECT_EQ(sizeof(abi::IotlbEntryV2), sizeof(vduse_iotlb_entry_v2));
    EXPECT_SAME_MEMBER(abi::IotlbEntryV2, offset, vduse_iotlb_entry_v2, offset);
    EXPECT_SAME_MEMBER(abi::IotlbEntryV2, start, vduse_iotlb_entry_v2, start);
    EXPECT_SAME_MEMBER(abi::IotlbEntryV2, last, vduse_iotlb_entry_v2, last);
    EXPECT_SAME_MEMBER(abi::IotlbEntryV2, perm, vduse_iotlb_entry_v2, perm);
    EXPECT_SAME_MEMBER(abi::IotlbEntryV2, asid, vduse_iotlb_entry_v2, asid);
    EXPECT_EQ(sizeof(abi::IovaRangeV2), sizeof(vduse_iova_range_v2));
    EXPECT_SAME_MEMBER(abi::IovaRangeV2, asid, vduse_iova_range_v2, asid);
    EXPECT_EQ(sizeof(abi::VqGroupAsid), sizeof(vduse_vq_group_asid));
    EXPECT_SAME_MEMBER(abi::VqGroupAsid, asid, vduse_vq_group_asid, asid);
    EXPECT_EQ(sizeof(abi::VqReady), sizeof(vduse_vq_ready));
    EXPECT_SAME_MEMBER(abi::VqReady, ready, vduse_vq_ready, ready);
    EXPECT_SAME_MEMBER(abi::Request, iova, vduse_dev_request, iova_v2);
    EXPECT_SAME_MEMBER(abi::Request, vq_group_asid, vduse_dev_request, vq_group_asid);
    EXPECT_SAME_MEMBER(abi::Request, vq_ready, vduse_dev_request, vq_ready);
}

#else

TEST(Abi, Version1) {
    GTEST_SKIP() << "needs <linux/vduse.h> of Linux 7.3 or later";
}

#endif

}  // namespace
}  // namespace vduse::test
