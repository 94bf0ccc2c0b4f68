//! Networks of `se3-transformer-pytorch`.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use equi_core::o3::wigner_3j;

use super::differences::{Differences, differences};
use super::error::{ImportError, Result};
use super::mapping::parameter;
use super::state_dict::StateDict;
use crate::se3_transformer::{
    EgnnBlock, FeedForwardBlock, Fibre, FibreAttention, FibreConvolution, FibreLinear, FibreNorm, RadialNetwork,
    SE3Transformer, SE3TransformerConfig,
};

/// A state dict of `se3-transformer-pytorch` (version 0.9), and the bases it was trained with.
///
/// That library finds the bases `Q_J` of its kernels as null vectors whose signs differ from machine to machine, and does not save them
/// with the weights. So they have to be exported where the network was trained:
///
/// ```python
/// import torch
/// from se3_transformer_pytorch.basis import basis_transformation_Q_J as basis
///
/// degrees = 3  # the highest of input, hidden and output degrees, plus one
/// pairs = [(i, o) for i in range(degrees) for o in range(degrees)]
/// torch.save({f"Q.{J}.{i}.{o}": basis(J, i, o) for i, o in pairs for J in range(abs(i - o), i + o + 1)}, "bases.pt")
/// ```
#[derive(Clone, Debug)]
pub struct SE3Checkpoint {
    dict: StateDict,
    bases: StateDict,
}

impl SE3Checkpoint {
    /// Reads the state dict and the bases.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged, or holds no tensors.
    pub fn open(weights: impl AsRef<Path>, bases: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { dict: StateDict::open(weights)?, bases: StateDict::open(bases)? })
    }

    /// Our network with the weights of the checkpoint. `config` must say what the network was built with.
    ///
    /// Signs and factors of the bases go into the last layers of the radial networks, so nothing of another convention remains.
    ///
    /// # Errors
    /// [`ImportError::Architecture`] if other weights are needed, with the list of them; [`ImportError::Unstated`] if a basis is missing;
    /// [`ImportError::Unsupported`] for options whose meaning differs: reflections, other forms of attention, rotary embeddings, which are no
    /// rotations there, trained values of rest above degree 0, which break the symmetry, and reversible networks; [`ImportError::Layer`] for
    /// options that make no sense.
    pub fn to_model(
        &self,
        config: &SE3TransformerConfig,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<SE3Transformer> {
        self.check(config)?;
        let options = options.into();
        let mut model = config.init(options.clone())?;
        let dtype = model.angular_dtype();
        let reader = Reader { bases: &self.bases, device: &options.device, dtype, entries: Vec::new(), unstated: None };
        let (entries, unstated) = reader.model(&mut model, config);
        if let Some(message) = unstated {
            return Err(ImportError::Unstated(message));
        }
        let expected: BTreeMap<String, Vec<usize>> =
            entries.iter().map(|entry| (entry.key.clone(), entry.shape.clone())).collect();
        let differences = differences(&self.used(), &expected);
        if !differences.is_empty() {
            return Err(ImportError::Architecture(Box::new(Differences {
                architecture: format!(
                    "an SE3Transformer({} -> {} -> {})",
                    config.fibre_in(),
                    config.fibre_hidden(),
                    config.fibre_out()
                ),
                differences,
                advice: Some("the options must be those that the network was built with".to_owned()),
            })));
        }
        for entry in entries {
            let values: Vec<f64> = self.dict.get(&entry.key).expect("a key that was checked").iter().collect();
            (entry.write)(&values)?;
        }
        Ok(model)
    }

    /// Without what follows from the options.
    fn used(&self) -> StateDict {
        let computed = |key: &str| key == "rotary_pos_emb.inv_freq";
        self.dict.iter().filter(|(key, _)| !computed(key)).map(|(key, data)| (key.to_owned(), data.clone())).collect()
    }

    fn check(&self, config: &SE3TransformerConfig) -> Result<()> {
        let unsupported = |message: &str| Err(ImportError::Unsupported(message.to_owned()));
        let plain = SE3TransformerConfig::new(config.dim);
        if config.reflections
            || config.skip != plain.skip
            || config.attention_scope != plain.attention_scope
            || !config.feed_forward
        {
            return unsupported(
                "se3-transformer-pytorch has no `reflections`, `skip`, `attention_scope` or `feed_forward`: leave these as they are by default",
            );
        }
        if config.rotary_position || config.rotary_rel_dist || self.dict.get("rotary_pos_emb.inv_freq").is_some() {
            return unsupported(
                "the rotary embedding of se3-transformer-pytorch pairs channels in one order and puts them back in another, so it is no rotation, \
                 and networks trained with it are not imported",
            );
        }
        if self.dict.names().any(|name| name.starts_with("net.blocks.0.f.")) {
            return unsupported(
                "a reversible network adds its features twice in every block, which is another function than that of the blocks here: it is not imported",
            );
        }
        Ok(())
    }
}

/// Collects where every tensor of the checkpoint goes.
struct Reader<'a> {
    bases: &'a StateDict,
    device: &'a Device,
    dtype: DType,
    entries: Vec<Entry<'a>>,
    unstated: Option<String>,
}

/// Takes the numbers of a tensor to where they belong.
type Write<'a> = Box<dyn FnOnce(&[f64]) -> Result<()> + 'a>;

/// A tensor of the checkpoint.
struct Entry<'a> {
    key: String,
    shape: Vec<usize>,
    write: Write<'a>,
}

impl<'a> Reader<'a> {
    fn push(&mut self, key: String, shape: Vec<usize>, write: impl FnOnce(&[f64]) -> Result<()> + 'a) {
        self.entries.push(Entry { key, shape, write: Box::new(write) });
    }

    /// A tensor of the same numbers in the same order.
    fn same<const D: usize>(&mut self, key: String, shape: Vec<usize>, param: &'a mut Param<Tensor<D>>) {
        let (device, dtype) = (self.device, self.dtype);
        self.push(key, shape, move |values| {
            *param = parameter(TensorData::new(values.to_vec(), param.dims()), device, dtype);
            Ok(())
        });
    }

    /// `torch.nn.Linear` keeps `[out, in]`.
    fn linear(&mut self, key: &str, linear: &'a mut Linear) {
        let [input, output] = linear.weight.dims();
        let (device, dtype) = (self.device, self.dtype);
        let weight = &mut linear.weight;
        self.push(format!("{key}.weight"), vec![output, input], move |values| {
            let turned = (0..input * output).map(|at| values[at % output * input + at / output]).collect::<Vec<_>>();
            *weight = parameter(TensorData::new(turned, [input, output]), device, dtype);
            Ok(())
        });
        if let Some(bias) = &mut linear.bias {
            self.same(format!("{key}.bias"), vec![output], bias);
        }
    }

    /// Where all tensors go, and what is missing among the bases.
    fn model(
        mut self,
        model: &'a mut SE3Transformer,
        config: &SE3TransformerConfig,
    ) -> (Vec<Entry<'a>>, Option<String>) {
        let (input, hidden, output) = (config.fibre_in(), config.fibre_hidden(), config.fibre_unreduced());
        for (key, embedding) in [
            ("token_emb", &mut model.token_embedding),
            ("pos_emb", &mut model.position_embedding),
            ("edge_emb", &mut model.edge_embedding),
            ("adj_emb", &mut model.hop_embedding),
        ] {
            if let Some(embedding) = embedding {
                let shape = embedding.weight.dims().to_vec();
                self.same(format!("{key}.weight"), shape, &mut embedding.weight);
            }
        }
        self.convolution("conv_in", &input, &hidden, &mut model.input);
        for (place, layer) in model.pre_convolutions.iter_mut().enumerate() {
            self.convolution(&format!("convs.{place}.0"), &hidden, &hidden, &mut layer.convolution);
            self.norm(&format!("convs.{place}.1"), &hidden, &mut layer.norm);
        }
        for (place, block) in model.blocks.iter_mut().enumerate() {
            let key = format!("net.blocks.{place}");
            self.attention(&format!("{key}.0.attn"), &hidden, &mut block.attention.attention, config);
            self.norm(&format!("{key}.0.prenorm"), &hidden, &mut block.attention.norm);
            if let Some(feed_forward) = &mut block.feed_forward {
                self.feed_forward(&format!("{key}.1"), &hidden, feed_forward);
            }
        }
        for (place, block) in model.egnn.iter_mut().enumerate() {
            self.egnn(&format!("net.layers.{place}"), &hidden, block);
        }
        if let Some(convolution) = &mut model.output {
            self.convolution("conv_out", &hidden, &output, convolution);
        }
        if let Some(norm) = &mut model.norm {
            self.norm("norm", &output, norm);
        }
        if let Some(reduction) = &mut model.reduction {
            self.fibre_linear("linear_out", &output, &output, reduction);
        }
        (self.entries, self.unstated)
    }

    fn fibre_linear(&mut self, key: &str, input: &Fibre, output: &Fibre, linear: &'a mut FibreLinear) {
        let common = input.iter().filter(|&(degree, _)| output.channels(degree) > 0);
        for ((degree, _), weight) in common.zip(&mut linear.weights) {
            self.same(format!("{key}.weights.{degree}"), weight.dims().to_vec(), weight);
        }
    }

    fn norm(&mut self, key: &str, fibre: &Fibre, norm: &'a mut FibreNorm) {
        for ((degree, channels), scale) in fibre.iter().zip(&mut norm.scales) {
            let [rows, _] = scale.dims();
            let (name, shape) =
                if rows == 1 { ("scale", vec![1, 1, channels]) } else { ("w_gate", vec![channels, channels]) };
            self.same(format!("{key}.transform.{degree}.{name}"), shape, scale);
        }
    }

    fn feed_forward(&mut self, key: &str, fibre: &Fibre, block: &'a mut FeedForwardBlock) {
        let hidden = Fibre::new(fibre.iter().map(|(degree, channels)| (degree, 4 * channels)));
        self.norm(&format!("{key}.prenorm"), fibre, &mut block.norm);
        self.fibre_linear(&format!("{key}.feedforward.project_in"), fibre, &hidden, &mut block.input);
        self.norm(&format!("{key}.feedforward.nonlin"), &hidden, &mut block.activation);
        self.fibre_linear(&format!("{key}.feedforward.project_out"), &hidden, fibre, &mut block.output);
    }

    fn convolution(&mut self, key: &str, input: &Fibre, output: &Fibre, convolution: &'a mut FibreConvolution) {
        let pairs = output.iter().flat_map(|to| input.iter().map(move |from| (from, to)));
        for ((from, to), radial) in pairs.zip(&mut convolution.radial) {
            self.radial(&format!("{key}.kernel_unary.({},{}).rp.net", from.0, to.0), from, to, radial);
        }
        if let Some(linear) = &mut convolution.self_interaction {
            self.fibre_linear(&format!("{key}.self_interact"), input, output, linear);
        }
    }

    fn radial(
        &mut self,
        key: &str,
        (from, inputs): (usize, usize),
        (to, outputs): (usize, usize),
        radial: &'a mut RadialNetwork,
    ) {
        let RadialNetwork { input, input_scale, input_shift, hidden, hidden_scale, hidden_shift, output, .. } = radial;
        let [width] = input_scale.dims();
        self.linear(&format!("{key}.0"), input);
        self.same(format!("{key}.1.weight"), vec![width], input_scale);
        self.same(format!("{key}.1.bias"), vec![width], input_shift);
        self.linear(&format!("{key}.3"), hidden);
        self.same(format!("{key}.4.weight"), vec![width], hidden_scale);
        self.same(format!("{key}.4.bias"), vec![width], hidden_shift);

        let factors: Vec<f64> = (from.abs_diff(to)..=from + to).map(|j| self.factor(j, from, to)).collect();
        let kernels = factors.len();
        let (device, dtype) = (self.device, self.dtype);
        // Rows `(o i f)` and the bias beside them, in one tensor of ours: `[i, (hidden + 1) f o]`.
        let rows = outputs * inputs * kernels;
        let cell =
            std::rc::Rc::new(std::cell::RefCell::new((output, vec![0.0; inputs * (width + 1) * kernels * outputs])));
        let fill = move |cell: &std::cell::RefCell<(&'a mut Param<Tensor<2>>, Vec<f64>)>,
                         values: &[f64],
                         first: usize,
                         count: usize| {
            let (param, ours) = &mut *cell.borrow_mut();
            for (row, values) in values.chunks_exact(count).enumerate() {
                let (o, i, f) = (row / (inputs * kernels), row / kernels % inputs, row % kernels);
                for (h, value) in values.iter().enumerate() {
                    ours[((i * (width + 1) + first + h) * kernels + f) * outputs + o] = factors[f] * value;
                }
            }
            **param = parameter(TensorData::new(ours.clone(), param.dims()), device, dtype);
        };
        let (of_weight, of_bias) = (cell.clone(), cell);
        let fill = std::rc::Rc::new(fill);
        let fill_bias = fill.clone();
        self.push(format!("{key}.6.weight"), vec![rows, width], move |values| {
            fill(&of_weight, values, 0, width);
            Ok(())
        });
        self.push(format!("{key}.6.bias"), vec![rows], move |values| {
            fill_bias(&of_bias, values, width, 1);
            Ok(())
        });
    }

    /// What their kernel `J` is of ours: harmonics of the opposite direction, and the sign of the null vector.
    fn factor(&mut self, j: usize, from: usize, to: usize) -> f64 {
        let name = format!("Q.{j}.{from}.{to}");
        let (rows, columns) = ((2 * to + 1) * (2 * from + 1), 2 * j + 1);
        let Some(basis) = self.bases.get(&name).filter(|basis| basis.num_elements() == rows * columns) else {
            self.unstated.get_or_insert(format!(
                "the bases hold no `{name}` of shape [{rows}, {columns}]: export all up to the highest degree, where the network was trained"
            ));
            return 1.0;
        };
        let Ok(table) = wigner_3j(to, from, j) else { return 1.0 };
        let overlap: f64 = basis.iter::<f64>().zip(table.values()).map(|(theirs, ours)| theirs * ours).sum();
        let deviation = (overlap.abs() - 1.0).abs();
        if deviation.is_nan() || deviation > 1e-4 {
            self.unstated.get_or_insert(format!(
                "`{name}` is no basis of equivariant kernels: its overlap with the Clebsch-Gordan coefficients is {overlap:.4}, not 1 or -1"
            ));
        }
        overlap.signum() * if j.is_multiple_of(2) { 1.0 } else { -1.0 }
    }

    fn attention(
        &mut self,
        key: &str,
        fibre: &Fibre,
        attention: &'a mut FibreAttention,
        config: &SE3TransformerConfig,
    ) {
        let key_heads = if config.one_headed_key_values { 1 } else { config.heads };
        let of_width = |width: usize| Fibre::new(fibre.iter().map(|(degree, _)| (degree, width)));
        let (hidden, shared) = (of_width(config.heads * config.dim_head), of_width(key_heads * config.dim_head));
        self.fibre_linear(&format!("{key}.to_q"), fibre, &hidden, &mut attention.queries);
        self.convolution(&format!("{key}.to_v"), fibre, &shared, &mut attention.values);
        if let Some(keys) = &mut attention.keys {
            self.convolution(&format!("{key}.to_k"), fibre, &shared, keys);
        }
        for (name, linear) in [
            ("to_k", &mut attention.node_keys),
            ("to_self_k", &mut attention.own_keys),
            ("to_self_v", &mut attention.own_values),
        ] {
            if let Some(linear) = linear {
                self.fibre_linear(&format!("{key}.{name}"), fibre, &shared, linear);
            }
        }
        for (name, param) in [("null_keys", &mut attention.null_key), ("null_values", &mut attention.null_value)] {
            let Some(param) = param else { continue };
            let shape = |degree: usize| match config.one_headed_key_values {
                true => vec![config.dim_head, 2 * degree + 1],
                false => vec![config.heads, config.dim_head, 2 * degree + 1],
            };
            self.same(format!("{key}.{name}.0"), shape(0), param);
            for (degree, _) in fibre.iter().filter(|&(degree, _)| degree > 0) {
                let name = format!("{key}.{name}.{degree}");
                self.push(name.clone(), shape(degree), move |values| match values.iter().all(|&value| value == 0.0) {
                    true => Ok(()),
                    false => Err(ImportError::Unsupported(format!(
                        "`{name}` is not zero: a fixed vector that nodes attend to breaks the symmetry, so this network is not imported"
                    ))),
                });
            }
        }
        for (name, param) in
            [("to_global_k", &mut attention.global_keys), ("to_global_v", &mut attention.global_values)]
        {
            if let Some(param) = param {
                self.same(format!("{key}.{name}.weights.0"), param.dims().to_vec(), param);
            }
        }
        if let Some(output) = &mut attention.output {
            self.fibre_linear(&format!("{key}.to_out"), &hidden, fibre, output);
        }
    }

    fn egnn(&mut self, key: &str, fibre: &Fibre, block: &'a mut EgnnBlock) {
        self.linear(&format!("{key}.0.edge_mlp.0"), &mut block.edge_input);
        self.linear(&format!("{key}.0.edge_mlp.2"), &mut block.edge_output);
        self.linear(&format!("{key}.0.htypes_mlp.0"), &mut block.shift_input);
        self.linear(&format!("{key}.0.htypes_mlp.2"), &mut block.shift_output);
        self.linear(&format!("{key}.0.node_mlp.0"), &mut block.node_input);
        self.linear(&format!("{key}.0.node_mlp.2"), &mut block.node_output);
        let scalars = fibre.channels(0);
        self.same(format!("{key}.0.node_norm.weight"), vec![scalars], &mut block.node_norm.gamma);
        if let Some(beta) = &mut block.node_norm.beta {
            self.same(format!("{key}.0.node_norm.bias"), vec![scalars], beta);
        }
        let higher: Vec<_> = fibre.iter().filter(|&(degree, _)| degree > 0).collect();
        let parts = block.scales.iter_mut().zip(&mut block.offsets).zip(&mut block.gates);
        for ((degree, channels), ((scale, offset), gate)) in higher.into_iter().zip(parts) {
            let shape = vec![1, 1, 1, channels, 1];
            self.same(format!("{key}.0.htype_norms.{degree}.scale"), shape.clone(), scale);
            self.same(format!("{key}.0.htype_norms.{degree}.bias"), shape, offset);
            self.linear(&format!("{key}.0.htype_gating.{degree}"), gate);
        }
        if let Some(feed_forward) = &mut block.feed_forward {
            self.feed_forward(&format!("{key}.1"), fibre, feed_forward);
        }
    }
}
