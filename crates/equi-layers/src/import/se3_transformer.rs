//! Networks of `se3-transformer-pytorch`.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

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
        Ok(Self::new(StateDict::open(weights)?, StateDict::open(bases)?))
    }

    /// A state dict and the bases `Q.{J}.{in}.{out}`, from wherever they are.
    pub fn new(dict: StateDict, bases: StateDict) -> Self {
        Self { dict, bases }
    }

    /// The checkpoint that a network of ours would leave where the bases are these, in the precision of its weights. What
    /// [`to_model`](Self::to_model) has read comes back bit for bit.
    ///
    /// # Errors
    /// [`ImportError::Unstated`] if a basis is missing; [`ImportError::Unsupported`] for options whose meaning differs there. The width of
    /// radial networks is no option there, but the constant `mid_dim = 128` of `RadialFunc`: change it there if `radial_hidden` is another.
    pub fn of_model(model: &SE3Transformer, bases: StateDict) -> Result<Self> {
        let mut model = model.clone();
        let config = model.config().clone();
        let empty = Self::new(StateDict::default(), bases);
        empty.check(&config)?;
        let highest = |fibre: Fibre| fibre.highest().unwrap_or(0);
        let hidden = highest(config.fibre_hidden());
        if highest(config.fibre_in()).max(highest(config.fibre_out())) > hidden {
            return Err(ImportError::Unsupported(format!(
                "se3-transformer-pytorch has no degrees of input or output above the hidden ones, of which {hidden} is the highest here"
            )));
        }
        if config.adj_dim > 0 && config.num_adj_degrees.is_none() {
            return Err(ImportError::Unsupported(
                "se3-transformer-pytorch ignores adj_dim without num_adj_degrees: set num_adj_degrees to 1".to_owned(),
            ));
        }
        let dict = Mapping::new(&empty.bases, &mut model, &config)?.written();
        Ok(Self { dict, ..empty })
    }

    /// The state dict.
    pub fn state_dict(&self) -> &StateDict {
        &self.dict
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
        let mapping = Mapping::new(&self.bases, &mut model, config)?;
        let expected = mapping.shapes();
        let differences = differences(&self.dict, &expected);
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
        mapping.read(&self.dict, &options.device, dtype)?;
        Ok(model)
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

/// A parameter of any rank.
trait Parameter {
    fn data(&self) -> TensorData;
    fn replace(&mut self, values: Vec<f64>, device: &Device, dtype: DType);
}

impl<const D: usize> Parameter for Param<Tensor<D>> {
    fn data(&self) -> TensorData {
        self.val().into_data()
    }

    fn replace(&mut self, values: Vec<f64>, device: &Device, dtype: DType) {
        *self = parameter(TensorData::new(values, self.dims()), device, dtype);
    }
}

/// Where a number of a tensor of theirs is in a parameter of ours, and what it is multiplied with there: 1 or -1.
type Place = Box<dyn Fn(usize) -> (usize, f64)>;

/// A tensor of the checkpoint.
struct Theirs {
    key: String,
    shape: Vec<usize>,
    place: Place,
}

/// A parameter of ours, and the tensors of the checkpoint that make it up.
struct Counterpart<'a> {
    ours: &'a mut dyn Parameter,
    theirs: Vec<Theirs>,
}

/// All tensors of the checkpoint beside ours, to be read or written.
struct Mapping<'a> {
    bases: &'a StateDict,
    counterparts: Vec<Counterpart<'a>>,
    /// Key and shape of what must be zero, because we have nothing of that kind.
    zeros: Vec<(String, Vec<usize>)>,
    unstated: Option<String>,
}

impl<'a> Mapping<'a> {
    /// # Errors
    /// [`ImportError::Unstated`] if something is missing among the bases.
    fn new(bases: &'a StateDict, model: &'a mut SE3Transformer, config: &SE3TransformerConfig) -> Result<Self> {
        let mut mapping = Self { bases, counterparts: Vec::new(), zeros: Vec::new(), unstated: None };
        mapping.model(model, config);
        match mapping.unstated {
            Some(message) => Err(ImportError::Unstated(message)),
            None => Ok(mapping),
        }
    }

    /// What the checkpoint should hold.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let theirs = self.counterparts.iter().flat_map(|counterpart| &counterpart.theirs);
        let theirs = theirs.map(|theirs| (theirs.key.clone(), theirs.shape.clone()));
        theirs.chain(self.zeros.iter().cloned()).collect()
    }

    /// Their numbers into ours.
    ///
    /// # Panics
    /// If `dict` has other keys or [`shapes`](Self::shapes).
    fn read(self, dict: &StateDict, device: &Device, dtype: DType) -> Result<()> {
        let values = |key: &str| dict.get(key).expect("a key that was checked").iter::<f64>();
        for (key, _) in self.zeros {
            if values(&key).any(|value| value != 0.0) {
                return Err(ImportError::Unsupported(format!(
                    "`{key}` is not zero: a fixed vector that nodes attend to breaks the symmetry, so this network is not imported"
                )));
            }
        }
        for Counterpart { ours, theirs } in self.counterparts {
            let mut numbers = vec![0.0; theirs.iter().map(|theirs| theirs.shape.iter().product::<usize>()).sum()];
            for Theirs { key, place, .. } in theirs {
                for (at, value) in values(&key).enumerate() {
                    let (to, factor) = place(at);
                    numbers[to] = factor * value;
                }
            }
            ours.replace(numbers, device, dtype);
        }
        Ok(())
    }

    /// Our numbers as theirs.
    fn written(self) -> StateDict {
        let mut tensors = Vec::new();
        let mut precision = DType::F32;
        for Counterpart { ours, theirs } in self.counterparts {
            let data = ours.data();
            precision = data.dtype();
            let numbers: Vec<f64> = data.iter().collect();
            for Theirs { key, shape, place } in theirs {
                let value = |at| {
                    let (from, factor) = place(at);
                    factor * numbers[from]
                };
                let values: Vec<f64> = (0..shape.iter().product()).map(value).collect();
                tensors.push((key, TensorData::new(values, shape).convert_dtype(precision)));
            }
        }
        let zero =
            |shape: Vec<usize>| TensorData::new(vec![0.0; shape.iter().product()], shape).convert_dtype(precision);
        tensors.extend(self.zeros.into_iter().map(|(key, shape)| (key, zero(shape))));
        tensors.into_iter().collect()
    }

    fn push(&mut self, ours: &'a mut dyn Parameter, theirs: Vec<Theirs>) {
        self.counterparts.push(Counterpart { ours, theirs });
    }

    /// A tensor of the same numbers in the same order.
    fn same(&mut self, key: String, shape: Vec<usize>, ours: &'a mut dyn Parameter) {
        self.push(ours, vec![Theirs { key, shape, place: Box::new(|at| (at, 1.0)) }]);
    }

    /// `torch.nn.Linear` keeps `[out, in]`.
    fn linear(&mut self, key: &str, linear: &'a mut Linear) {
        let [input, output] = linear.weight.dims();
        let place = move |at| (at % input * output + at / input, 1.0);
        let shape = vec![output, input];
        let weight = Theirs { key: format!("{key}.weight"), shape, place: Box::new(place) };
        self.push(&mut linear.weight, vec![weight]);
        if let Some(bias) = &mut linear.bias {
            self.same(format!("{key}.bias"), vec![output], bias);
        }
    }

    fn model(&mut self, model: &'a mut SE3Transformer, config: &SE3TransformerConfig) {
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

        let factors: Rc<[f64]> = (from.abs_diff(to)..=from + to).map(|j| self.factor(j, from, to)).collect();
        let kernels = factors.len();
        // Their rows are `(o i f)`, and biases beside them; ours are `[i, (hidden + 1) f o]`.
        let rows = outputs * inputs * kernels;
        let place = move |row: usize, column: usize| {
            let (o, i, f) = (row / (inputs * kernels), row / kernels % inputs, row % kernels);
            (((i * (width + 1) + column) * kernels + f) * outputs + o, factors[f])
        };
        let of_bias = place.clone();
        let theirs = vec![
            Theirs {
                key: format!("{key}.6.weight"),
                shape: vec![rows, width],
                place: Box::new(move |at| place(at / width, at % width)),
            },
            Theirs { key: format!("{key}.6.bias"), shape: vec![rows], place: Box::new(move |row| of_bias(row, width)) },
        ];
        self.push(output, theirs);
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
            let higher = fibre.iter().filter(|&(degree, _)| degree > 0);
            self.zeros.extend(higher.map(|(degree, _)| (format!("{key}.{name}.{degree}"), shape(degree))));
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
