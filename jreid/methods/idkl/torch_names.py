"""The names in IDKL's released checkpoints of the parameters of our network."""

from jreid.nn.torch_layout import Layout, resnet_renames

# The released code keeps three whole ResNet-50 and uses a part of each. It builds `special_att` but
# does not use it. Its test network has no heads. Only `variant=code` has its norm `IN`, so
# `variant=paper` refuses its checkpoints.
TORCH_LAYOUT = Layout(
    renames=(
        *resnet_renames("backbone/shared/", "backbone.shared_module_fr.model_sh_fr."),
        *resnet_renames("backbone/shared_branch/", "backbone.shared_module_bh.model_sh_bh."),
        *resnet_renames("backbone/specific_branch/", "backbone.special.special_module."),
        (r"^purifier/norm/", "backbone.IN/"),
        (r"^purifier/reduction_mask/", "backbone.mask1.channel_attention."),
        (r"^purifier/enhancement_mask/", "backbone.mask2.channel_attention."),
        (r"\.squeeze/", ".0/"),
        (r"\.excite/", ".2/"),
        (r"^shared_neck/", "bn_neck/"),
        (r"^specific_neck/", "bn_neck_sp/"),
        (r"^shared_classifier/", "classifier/"),
        (r"^specific_classifier/", "classifier_sp/"),
        (r"^entropy_classifier/", "C_sp_f/"),
        (r"^discriminators_neck/", "D_special/"),
        (r"^confusers_neck/", "D_shared_pseu/"),
    ),
    unused=(
        r"backbone\.shared_module_fr\.model_sh_fr\.(layer[34]|fc)\.",
        r"backbone\.(shared_module_bh\.model_sh_bh|special\.special_module)\.(conv1|bn1|fc)\.",
        r"backbone\.(shared_module_bh\.model_sh_bh|special\.special_module)\.layer[12]\.",
        r"backbone\.special_att\.",
        r"classifier|C_sp_f\.|D_special\.|D_shared_pseu\.",
    ),
    optional=(r"\w+_classifier/", r"(discriminators|confusers)_\w+/", r"(raw|enhanced)_neck/"),
)
